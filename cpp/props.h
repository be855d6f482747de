// Properties, tolerantly: what a host does not know is neither read nor set,
// and strings are copied before the next call to the host.
#pragma once

#include <string>

#include "suites.h"

namespace longtake {

class Props {
public:
  explicit Props(OfxPropertySetHandle handle) : handle_(handle) {}

  bool get(const char *name, int &value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propGetInt(handle_, name, index, &value);
    });
  }

  bool get(const char *name, double &value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propGetDouble(handle_, name, index, &value);
    });
  }

  bool get(const char *name, void *&value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propGetPointer(handle_, name, index, &value);
    });
  }

  /// Empty where the host has no such string.
  std::string string(const char *name, int index = 0) const {
    char *value = nullptr;
    bool ok = read([&](const OfxPropertySuiteV1 &s) {
      return s.propGetString(handle_, name, index, &value);
    });
    return ok && value ? std::string(value) : std::string();
  }

  bool set(const char *name, int value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propSetInt(handle_, name, index, value);
    });
  }

  bool set(const char *name, double value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propSetDouble(handle_, name, index, value);
    });
  }

  bool set(const char *name, const char *value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propSetString(handle_, name, index, value);
    });
  }

  bool set(const char *name, const std::string &value, int index = 0) const {
    return set(name, value.c_str(), index);
  }

  bool set(const char *name, void *value, int index = 0) const {
    return read([&](const OfxPropertySuiteV1 &s) {
      return s.propSetPointer(handle_, name, index, value);
    });
  }

private:
  // Some hosts throw where a property is unknown to them.
  template <class Call> bool read(Call call) const {
    const OfxPropertySuiteV1 *suite = suites().property;
    if (!suite || !handle_)
      return false;
    try {
      return call(*suite) == kOfxStatOK;
    } catch (...) {
      return false;
    }
  }

  OfxPropertySetHandle handle_;
};

} // namespace longtake
