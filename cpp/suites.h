// The host and its suites.
#pragma once

#include "ofxCore.h"
#include "ofxImageEffect.h"
#include "ofxMessage.h"
#include "ofxMultiThread.h"
#include "ofxParam.h"
#include "ofxProgress.h"
#include "ofxProperty.h"
#include "ofxTimeLine.h"

namespace longtake {

/// The suites that nothing works without, fetched when the plug-in is loaded,
/// and those that may be missing, fetched when first wanted.
struct Suites {
  const OfxPropertySuiteV1 *property = nullptr;
  const OfxImageEffectSuiteV1 *effect = nullptr;
  const OfxParameterSuiteV1 *param = nullptr;
};

/// The suites of the host that loaded us last. Each pointer is null or good.
const Suites &suites();

/// Remembers the host. Suites fetched from another host are forgotten.
void set_host(const OfxHost *host);

/// Fetches the needed suites; false where the host lacks one of them or a
/// function of it.
bool fetch_suites();

/// The host's own properties, null before it introduced itself.
OfxPropertySetHandle host_properties();

/// Optional suites; null where the host has none.
const OfxMessageSuiteV1 *message_suite();
const OfxMessageSuiteV2 *persistent_message_suite();
const OfxTimeLineSuiteV1 *timeline_suite();

/// How many threads the host offers; 0 where it does not say.
unsigned offered_threads();

/// Either version of the progress suite, as three functions that may each be
/// null.
struct Progress {
  OfxStatus (*start_v2)(void *, const char *, const char *) = nullptr;
  OfxStatus (*start_v1)(void *, const char *) = nullptr;
  OfxStatus (*update)(void *, double) = nullptr;
  OfxStatus (*end)(void *) = nullptr;
};
Progress progress_suite();

} // namespace longtake
