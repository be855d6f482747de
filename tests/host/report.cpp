#include "report.h"

#include "names.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>

#include "openfx.h"

namespace host {
namespace {

std::mutex out_mutex;
std::mutex log_mutex;
FILE *log_file = nullptr;
thread_local int depth = 0;

std::string quote(const std::string &text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += char(c);
    } else if (c < 0x20) {
      char code[8];
      snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += char(c);
    }
  }
  return out + "\"";
}

std::string number(double value) {
  if (!std::isfinite(value))
    return "null";
  char text[32];
  snprintf(text, sizeof text, "%.9g", value);
  return text;
}

} // namespace

Json &Json::raw(const std::string &key, const std::string &json) {
  if (!body.empty())
    body += ',';
  body += quote(key) + ":" + json;
  return *this;
}

Json &Json::add(const std::string &key, const std::string &value) {
  return raw(key, quote(value));
}

Json &Json::add(const std::string &key, const char *value) {
  return raw(key, quote(value));
}

Json &Json::add(const std::string &key, double value) {
  return raw(key, number(value));
}

Json &Json::add(const std::string &key, int value) {
  return raw(key, std::to_string(value));
}

Json &Json::add(const std::string &key, bool value) {
  return raw(key, value ? "true" : "false");
}

Json &Json::add(const std::string &key, const std::vector<double> &values) {
  std::string list;
  for (double v : values)
    list += (list.empty() ? "" : ",") + number(v);
  return raw(key, "[" + list + "]");
}

Json &Json::add(const std::string &key,
                const std::vector<std::string> &values) {
  std::string list;
  for (const std::string &v : values)
    list += (list.empty() ? "" : ",") + quote(v);
  return raw(key, "[" + list + "]");
}

void emit(const Json &json) {
  std::lock_guard<std::mutex> lock(out_mutex);
  printf("%s\n", json.text().c_str());
  fflush(stdout);
}

void fault(const std::string &what) {
  log("FAULT " + what);
  emit(Json("fault").add("what", what));
}

void open_log(const std::string &path) {
  log_file = path == "-" ? stderr : fopen(path.c_str(), "w");
}

bool logging() { return log_file != nullptr; }

void log(const std::string &line) {
  if (!log_file)
    return;
  std::lock_guard<std::mutex> lock(log_mutex);
  fprintf(log_file, "%*s%s\n", depth * 2, "", line.c_str());
  fflush(log_file);
}

void log_depth(int by) { depth += by; }

std::string status_name(int status) {
  static const std::map<int, const char *> names = {
      {kOfxStatOK, "OK"},
      {kOfxStatFailed, "Failed"},
      {kOfxStatErrFatal, "ErrFatal"},
      {kOfxStatErrUnknown, "ErrUnknown"},
      {kOfxStatErrMissingHostFeature, "ErrMissingHostFeature"},
      {kOfxStatErrUnsupported, "ErrUnsupported"},
      {kOfxStatErrExists, "ErrExists"},
      {kOfxStatErrFormat, "ErrFormat"},
      {kOfxStatErrMemory, "ErrMemory"},
      {kOfxStatErrBadHandle, "ErrBadHandle"},
      {kOfxStatErrBadIndex, "ErrBadIndex"},
      {kOfxStatErrValue, "ErrValue"},
      {kOfxStatReplyYes, "ReplyYes"},
      {kOfxStatReplyNo, "ReplyNo"},
      {kOfxStatReplyDefault, "ReplyDefault"},
      {kOfxStatErrImageFormat, "ErrImageFormat"},
      {kOfxStatGPUOutOfMemory, "GPUOutOfMemory"},
      {kOfxStatGPURenderFailed, "GPURenderFailed"}};
  auto found = names.find(status);
  return found == names.end() ? std::to_string(status) : found->second;
}

double now_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch())
      .count();
}

} // namespace host
