// A headless OpenFX host: steps on the command line are taken in order, what
// happens is told as JSON lines. See README.md.
#include <cstdio>
#include <exception>
#include <set>
#include <string>

#include "report.h"
#include "session.h"

int main(int argc, char **argv) {
  static const std::set<std::string> without_value = {
      "list",           "describe",      "create",       "time-domain",
      "preferences",    "purge",         "sync",         "destroy",
      "no-identity",    "throw-unknown", "whole-images", "no-abort-call",
      "hold",           "no-temporal",   "no-tiles",     "show-progress",
      "no-cuda-stream", "cuda-retry"};
  try {
    host::Session session;
    for (int i = 1; i < argc; ++i) {
      std::string name = argv[i];
      if (name.compare(0, 2, "--") != 0) {
        fprintf(stderr, "longtake-host: %s is no option\n", argv[i]);
        return 64;
      }
      name = name.substr(2);
      std::string value;
      if (!without_value.count(name)) {
        if (++i == argc) {
          fprintf(stderr, "longtake-host: --%s needs a value\n", name.c_str());
          return 64;
        }
        value = argv[i];
      }
      session.step(name, value);
    }
  } catch (const std::exception &error) {
    host::emit(host::Json("error").add("text", error.what()));
    fprintf(stderr, "longtake-host: %s\n", error.what());
    return 1;
  }
  return 0;
}
