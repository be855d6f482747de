#include "suites.h"

#include <deque>
#include <memory>
#include <vector>

#include "report.h"

namespace host {
namespace {

// Lent strings are overwritten at the next call and freed a little later, so
// that a plug-in that keeps one reads nonsense, and a memory checker sees it.
struct Lent {
  std::vector<std::vector<char>> now;
  std::deque<std::vector<char>> before;
  void take_back() {
    for (auto &text : now) {
      for (size_t i = 0; i + 1 < text.size(); ++i)
        text[i] = '#';
      before.push_back(std::move(text));
    }
    now.clear();
    while (before.size() > 64)
      before.pop_front();
  }
};
thread_local Lent lent;

} // namespace

Call::Call(const char *function, const char *detail)
    : function_(function), detail_(detail) {
  lent.take_back();
}

OfxStatus Call::done(OfxStatus status) const {
  if (logging())
    log(std::string(function_) + (detail_ ? std::string(" ") + detail_ : "") +
        " = " + status_name(status));
  return status;
}

const char *lend(const std::string &text) {
  lent.now.emplace_back(text.begin(), text.end());
  lent.now.back().push_back('\0');
  return lent.now.back().data();
}

} // namespace host
