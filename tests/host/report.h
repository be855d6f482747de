// What the host tells: one JSON object a line on standard output, and a log of
// every call on request.
#pragma once

#include <string>
#include <vector>

namespace host {

// Builds one JSON object.
class Json {
public:
  explicit Json(const std::string &event) { add("event", event); }
  Json() {}
  Json &add(const std::string &key, const std::string &value);
  Json &add(const std::string &key, const char *value);
  Json &add(const std::string &key, double value);
  Json &add(const std::string &key, int value);
  Json &add(const std::string &key, bool value);
  Json &add(const std::string &key, const std::vector<double> &values);
  Json &add(const std::string &key, const std::vector<std::string> &values);
  // Adds `json`, which is JSON already.
  Json &raw(const std::string &key, const std::string &json);
  std::string text() const { return "{" + body + "}"; }

private:
  std::string body;
};

// Prints one line.
void emit(const Json &json);

// Tells of something that a plug-in must not do. Tests ask that there is none.
void fault(const std::string &what);

// Opens the log of calls; "-" is the standard error.
void open_log(const std::string &path);
bool logging();
// Writes one line of the log, indented by the depth of calls on this thread.
void log(const std::string &line);
// Raises (1) or lowers (-1) the depth of calls on this thread.
void log_depth(int by);

// The name of a status, without its prefix: "OK", "Failed", "ReplyDefault".
std::string status_name(int status);

// Milliseconds on a clock that only goes forward.
double now_ms();

} // namespace host
