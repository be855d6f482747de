#include "params.h"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <vector>

#include "profile.h"

namespace host {
namespace {

using namespace OFX::Host;

// What all parameters share: numbers or a text, under a lock.
struct Held {
  mutable std::mutex mutex;
  std::vector<double> numbers;
  std::string text;
  Param::Descriptor *descriptor;

  explicit Held(Param::Descriptor &d, int count) : descriptor(&d) {
    const Property::Set &set = d.getProperties();
    const std::string &type = d.getType();
    for (int i = 0; i < count; ++i) {
      bool real = type == kOfxParamTypeDouble ||
                  type == kOfxParamTypeDouble2D ||
                  type == kOfxParamTypeDouble3D || type == kOfxParamTypeRGB ||
                  type == kOfxParamTypeRGBA;
      numbers.push_back(real ? set.getDoubleProperty(kOfxParamPropDefault, i)
                             : set.getIntProperty(kOfxParamPropDefault, i));
    }
    if (count == 0)
      text = set.getStringProperty(kOfxParamPropDefault);
  }
  virtual ~Held() {}

  double at(size_t i) const {
    std::lock_guard<std::mutex> lock(mutex);
    return numbers[i];
  }

  void put(std::vector<double> values) {
    if (profile.clamp_params_without_range && lacks_range()) {
      for (double &v : values)
        v = std::min(std::max(v, 0.0), 1.0);
    }
    std::lock_guard<std::mutex> lock(mutex);
    numbers = values;
  }

  // Whether a number lacks its hard or its display range.
  bool lacks_range() const {
    const Property::Set &set = descriptor->getProperties();
    const std::string &type = descriptor->getType();
    if (type == kOfxParamTypeDouble || type == kOfxParamTypeDouble2D)
      return set.getDoubleProperty(kOfxParamPropMax) > 1e300 ||
             set.getDoubleProperty(kOfxParamPropDisplayMax) > 1e300;
    if (type == kOfxParamTypeInteger || type == kOfxParamTypeInteger2D)
      return set.getDimension(kOfxParamPropDisplayMax) == 0 ||
             set.getIntProperty(kOfxParamPropDisplayMax) == INT_MAX;
    return false;
  }
};

struct Int : Param::IntegerInstance, Held {
  Int(Param::Descriptor &d, Param::SetInstance *s)
      : IntegerInstance(d, s), Held(d, 1) {}
  OfxStatus get(int &v) override { return v = int(at(0)), kOfxStatOK; }
  OfxStatus get(OfxTime, int &v) override { return get(v); }
  OfxStatus set(int v) override { return put({double(v)}), kOfxStatOK; }
  OfxStatus set(OfxTime, int v) override { return set(v); }
};

struct Choice : Param::ChoiceInstance, Held {
  Choice(Param::Descriptor &d, Param::SetInstance *s)
      : ChoiceInstance(d, s), Held(d, 1) {}
  OfxStatus get(int &v) override { return v = int(at(0)), kOfxStatOK; }
  OfxStatus get(OfxTime, int &v) override { return get(v); }
  OfxStatus set(int v) override { return put({double(v)}), kOfxStatOK; }
  OfxStatus set(OfxTime, int v) override { return set(v); }
};

struct Double : Param::DoubleInstance, Held {
  Double(Param::Descriptor &d, Param::SetInstance *s)
      : DoubleInstance(d, s), Held(d, 1) {}
  OfxStatus get(double &v) override { return v = at(0), kOfxStatOK; }
  OfxStatus get(OfxTime, double &v) override { return get(v); }
  OfxStatus set(double v) override { return put({v}), kOfxStatOK; }
  OfxStatus set(OfxTime, double v) override { return set(v); }
  OfxStatus derive(OfxTime, double &v) override { return v = 0, kOfxStatOK; }
  OfxStatus integrate(OfxTime a, OfxTime b, double &v) override {
    return v = at(0) * (b - a), kOfxStatOK;
  }
};

struct Bool : Param::BooleanInstance, Held {
  Bool(Param::Descriptor &d, Param::SetInstance *s)
      : BooleanInstance(d, s), Held(d, 1) {}
  OfxStatus get(bool &v) override { return v = at(0) != 0, kOfxStatOK; }
  OfxStatus get(OfxTime, bool &v) override { return get(v); }
  OfxStatus set(bool v) override { return put({double(v)}), kOfxStatOK; }
  OfxStatus set(OfxTime, bool v) override { return set(v); }
};

struct Double2D : Param::Double2DInstance, Held {
  Double2D(Param::Descriptor &d, Param::SetInstance *s)
      : Double2DInstance(d, s), Held(d, 2) {}
  OfxStatus get(double &x, double &y) override {
    return x = at(0), y = at(1), kOfxStatOK;
  }
  OfxStatus get(OfxTime, double &x, double &y) override { return get(x, y); }
  OfxStatus set(double x, double y) override { return put({x, y}), kOfxStatOK; }
  OfxStatus set(OfxTime, double x, double y) override { return set(x, y); }
};

struct Int2D : Param::Integer2DInstance, Held {
  Int2D(Param::Descriptor &d, Param::SetInstance *s)
      : Integer2DInstance(d, s), Held(d, 2) {}
  OfxStatus get(int &x, int &y) override {
    return x = int(at(0)), y = int(at(1)), kOfxStatOK;
  }
  OfxStatus get(OfxTime, int &x, int &y) override { return get(x, y); }
  OfxStatus set(int x, int y) override {
    return put({double(x), double(y)}), kOfxStatOK;
  }
  OfxStatus set(OfxTime, int x, int y) override { return set(x, y); }
};

struct Colour : Param::RGBAInstance, Held {
  Colour(Param::Descriptor &d, Param::SetInstance *s)
      : RGBAInstance(d, s), Held(d, 4) {}
  OfxStatus get(double &r, double &g, double &b, double &a) override {
    return r = at(0), g = at(1), b = at(2), a = at(3), kOfxStatOK;
  }
  OfxStatus get(OfxTime, double &r, double &g, double &b, double &a) override {
    return get(r, g, b, a);
  }
  OfxStatus set(double r, double g, double b, double a) override {
    return put({r, g, b, a}), kOfxStatOK;
  }
  OfxStatus set(OfxTime, double r, double g, double b, double a) override {
    return set(r, g, b, a);
  }
};

struct Text : Param::StringInstance, Held {
  Text(Param::Descriptor &d, Param::SetInstance *s)
      : StringInstance(d, s), Held(d, 0) {}
  OfxStatus get(std::string &v) override {
    std::lock_guard<std::mutex> lock(mutex);
    return v = text, kOfxStatOK;
  }
  OfxStatus get(OfxTime, std::string &v) override { return get(v); }
  OfxStatus set(const char *v) override {
    std::lock_guard<std::mutex> lock(mutex);
    return text = v, kOfxStatOK;
  }
  OfxStatus set(OfxTime, const char *v) override { return set(v); }
};

struct Button : Param::PushbuttonInstance {
  Button(Param::Descriptor &d, Param::SetInstance *s)
      : PushbuttonInstance(d, s) {}
};

bool same_letters(const std::string &a, const std::string &b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return tolower((unsigned char)x) == tolower((unsigned char)y);
         });
}

} // namespace

Param::Instance *make_param(Param::Descriptor &d, Param::SetInstance *owner) {
  const std::string &type = d.getType();
  if (type == kOfxParamTypeInteger)
    return new Int(d, owner);
  if (type == kOfxParamTypeDouble)
    return new Double(d, owner);
  if (type == kOfxParamTypeBoolean)
    return new Bool(d, owner);
  if (type == kOfxParamTypeChoice)
    return new Choice(d, owner);
  if (type == kOfxParamTypeDouble2D)
    return new Double2D(d, owner);
  if (type == kOfxParamTypeInteger2D)
    return new Int2D(d, owner);
  if (type == kOfxParamTypeRGBA)
    return new Colour(d, owner);
  if (type == kOfxParamTypeString || type == kOfxParamTypeCustom)
    return new Text(d, owner);
  if (type == kOfxParamTypePushButton)
    return new Button(d, owner);
  if (type == kOfxParamTypeGroup)
    return new Param::GroupInstance(d, owner);
  if (type == kOfxParamTypePage)
    return new Param::PageInstance(d, owner);
  return nullptr;
}

bool set_from_text(Param::Instance &param, const std::string &value) {
  if (Text *text = dynamic_cast<Text *>(&param))
    return text->set(value.c_str()) == kOfxStatOK;
  Held *held = dynamic_cast<Held *>(&param);
  if (!held)
    return false;
  if (dynamic_cast<Choice *>(&param)) {
    const Property::Set &set = held->descriptor->getProperties();
    int count = set.getDimension(kOfxParamPropChoiceOption);
    for (int i = 0; i < count; ++i) {
      if (same_letters(set.getStringProperty(kOfxParamPropChoiceOption, i),
                       value)) {
        held->put({double(i)});
        return true;
      }
    }
  }
  if (dynamic_cast<Bool *>(&param) && (value == "true" || value == "false")) {
    held->put({double(value == "true")});
    return true;
  }
  std::vector<double> numbers;
  std::istringstream words(value);
  std::string word;
  while (std::getline(words, word, ',')) {
    char *end = nullptr;
    numbers.push_back(strtod(word.c_str(), &end));
    if (end == word.c_str() || *end)
      return false;
  }
  if (numbers.size() != held->numbers.size())
    return false;
  held->put(numbers);
  return true;
}

std::string value_text(Param::Instance &param) {
  if (Text *text = dynamic_cast<Text *>(&param)) {
    std::string value;
    text->get(value);
    return value;
  }
  Held *held = dynamic_cast<Held *>(&param);
  if (!held)
    return "";
  std::ostringstream out;
  for (size_t i = 0; i < held->numbers.size(); ++i)
    out << (i ? "," : "") << held->at(i);
  return out.str();
}

} // namespace host
