#include "suites.h"

#include <atomic>
#include <cstring>
#include <mutex>

#include "props.h"

namespace longtake {
namespace {

std::atomic<const OfxHost *> the_host{nullptr};
Suites the_suites;

template <class Suite> const Suite *fetch(const char *name, int version) {
  const OfxHost *host = the_host.load();
  if (!host || !host->fetchSuite)
    return nullptr;
  return static_cast<const Suite *>(
      host->fetchSuite(host->host, name, version));
}

/// Whether the second version of a suite may be asked for. openfx-runner stops
/// the whole process when it is.
bool second_versions() {
  std::string name = Props(host_properties()).string(kOfxPropName);
  return name != "openfx-driver" && name != "openfx-runner";
}

} // namespace

const Suites &suites() { return the_suites; }

void set_host(const OfxHost *host) {
  if (host)
    the_host.store(host);
}

bool fetch_suites() {
  Suites s;
  s.property = fetch<OfxPropertySuiteV1>(kOfxPropertySuite, 1);
  s.effect = fetch<OfxImageEffectSuiteV1>(kOfxImageEffectSuite, 1);
  s.param = fetch<OfxParameterSuiteV1>(kOfxParameterSuite, 1);
  if (!s.property || !s.property->propGetInt || !s.property->propGetString ||
      !s.property->propGetDouble || !s.property->propGetPointer ||
      !s.property->propSetInt || !s.property->propSetString ||
      !s.property->propSetDouble || !s.property->propSetPointer)
    return false;
  if (!s.effect || !s.effect->getPropertySet || !s.effect->getParamSet ||
      !s.effect->clipDefine || !s.effect->clipGetHandle ||
      !s.effect->clipGetPropertySet || !s.effect->clipGetImage ||
      !s.effect->clipReleaseImage)
    return false;
  if (!s.param || !s.param->paramDefine || !s.param->paramGetHandle ||
      !s.param->paramGetValue)
    return false;
  the_suites = s;
  return true;
}

OfxPropertySetHandle host_properties() {
  const OfxHost *host = the_host.load();
  return host ? host->host : nullptr;
}

const OfxMessageSuiteV1 *message_suite() {
  auto suite = fetch<OfxMessageSuiteV1>(kOfxMessageSuite, 1);
  return suite && suite->message ? suite : nullptr;
}

const OfxMessageSuiteV2 *persistent_message_suite() {
  if (!second_versions())
    return nullptr;
  auto suite = fetch<OfxMessageSuiteV2>(kOfxMessageSuite, 2);
  return suite && suite->setPersistentMessage && suite->clearPersistentMessage
             ? suite
             : nullptr;
}

const OfxTimeLineSuiteV1 *timeline_suite() {
  auto suite = fetch<OfxTimeLineSuiteV1>(kOfxTimeLineSuite, 1);
  return suite && suite->getTimeBounds ? suite : nullptr;
}

unsigned offered_threads() {
  auto suite = fetch<OfxMultiThreadSuiteV1>(kOfxMultiThreadSuite, 1);
  unsigned count = 0;
  bool said = suite && suite->multiThreadNumCPUs &&
              suite->multiThreadNumCPUs(&count) == kOfxStatOK;
  return said ? count : 0;
}

Progress progress_suite() {
  Progress p;
  const OfxProgressSuiteV2 *second =
      second_versions() ? fetch<OfxProgressSuiteV2>(kOfxProgressSuite, 2)
                        : nullptr;
  if (second && second->progressStart) {
    p.start_v2 = second->progressStart;
    p.update = second->progressUpdate;
    p.end = second->progressEnd;
    return p;
  }
  if (auto first = fetch<OfxProgressSuiteV1>(kOfxProgressSuite, 1)) {
    p.start_v1 = first->progressStart;
    p.update = first->progressUpdate;
    p.end = first->progressEnd;
  }
  return p;
}

} // namespace longtake
