#include "profile.h"

#include "openfx.h"

namespace host {
namespace {

// Chooses the general context; asks isIdentity of the instance inside
// clipGetImage; destroys twice; garbles format arguments; says that a mask is
// connected that it does not hand over; holds frames outside the range; renders
// nothing while a clip that is not optional is not connected.
Profile natron() {
  Profile p;
  p.label = "Natron";
  p.contexts = {kOfxImageEffectContextGeneral, kOfxImageEffectContextFilter,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthFloat, kOfxBitDepthShort, kOfxBitDepthByte};
  p.multiple_depths = true;
  p.identity_within_get_image = true;
  p.destroy_twice = true;
  p.garble_format = true;
  p.mask_says_connected = true;
  p.needs_mandatory_clips = true;
  p.hold_frames = true;
  return p;
}

// Float RGBA only, no tiles; images say scale 1 and no field; the multi-thread
// suite is a dummy; parameters that lack a range are clamped.
Profile resolve() {
  Profile p;
  p.label = "DaVinciResolve";
  p.contexts = {kOfxImageEffectContextFilter, kOfxImageEffectContextGeneral,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthFloat};
  p.components = {kOfxImageComponentRGBA};
  p.tiles = false;
  p.multi_resolution = false;
  p.threads = Threads::dummy;
  p.image_scale = ImageScale::one;
  p.image_field = false;
  p.clamp_params_without_range = true;
  p.hold_frames = true;
  p.roi_images = false;
  return p;
}

// As it is where a project works on an NVIDIA GPU.
Profile resolve_cuda() {
  Profile p = resolve();
  p.cuda = Cuda::primary;
  return p;
}

// Fails on unknown properties; a message in describe is the end of the
// plug-in; does not render while a persistent message stands; cannot show what
// was hidden; asks for each frame again; renders nothing while a clip that is
// not optional is not connected.
Profile nuke() {
  Profile p;
  p.label = "uk.co.thefoundry.nuke";
  p.contexts = {kOfxImageEffectContextGeneral, kOfxImageEffectContextFilter,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthFloat};
  p.message_fails_describe = true;
  p.message_blocks_render = true;
  p.secret_stays = true;
  p.needs_mandatory_clips = true;
  p.times = 2;
  return p;
}

// Loads, describes, creates and destroys for each frame; any time gives the
// current frame; rows run downwards; the status of a render is ignored.
Profile melt() {
  Profile p;
  p.label = "MLT";
  p.api[1] = 5;
  p.contexts = {kOfxImageEffectContextFilter};
  p.depths = {kOfxBitDepthByte, kOfxBitDepthShort, kOfxBitDepthHalf,
              kOfxBitDepthFloat};
  p.components = {kOfxImageComponentRGBA, kOfxImageComponentRGB};
  p.depth = "byte";
  p.temporal = false;
  p.exact_ok = true;
  p.reload_every_frame = true;
  p.negative_rows = true;
  p.ignore_time = true;
  p.loop_frames = true;
  p.optional_without_data = true;
  p.missing = {kOfxImageClipPropConnected,
               kOfxImageEffectPropFrameRange,
               kOfxImageEffectPropFrameRate,
               kOfxImageEffectPropUnmappedFrameRange,
               kOfxImageEffectPropUnmappedFrameRate,
               kOfxImageEffectPropProjectSize,
               kOfxImageEffectInstancePropEffectDuration};
  p.ignore_status = true;
  p.abort = false;
  p.last_times = 4;
  p.roi_images = false;
  return p;
}

// Only what no plug-in can live without.
Profile minimal() {
  Profile p;
  p.label = "minimal";
  p.contexts = {kOfxImageEffectContextFilter, kOfxImageEffectContextGeneral,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthFloat};
  p.components = {kOfxImageComponentRGBA};
  p.api[1] = 0;
  p.tiles = false;
  p.multi_resolution = false;
  p.temporal = false;
  p.message = p.message2 = p.progress = p.progress2 = p.timeline = false;
  p.threads = Threads::none;
  p.ignore_time = true;
  p.missing = {kOfxPropAPIVersion,
               kOfxPropLabel,
               kOfxPropVersion,
               kOfxPropVersionLabel,
               kOfxImageEffectInstancePropSequentialRender,
               kOfxImageEffectPropRenderQualityDraft,
               kOfxImageEffectHostPropNativeOrigin,
               kOfxImagePropUniqueIdentifier,
               kOfxImagePropField,
               kOfxImageEffectPropFrameRate,
               kOfxImageEffectPropSequentialRenderStatus,
               kOfxImageEffectPropInteractiveRenderStatus,
               kOfxPluginPropFilePath,
               kOfxImageClipPropContinuousSamples,
               kOfxImageEffectFrameVarying,
               kOfxImageClipPropFieldOrder};
  p.ask_frames_needed = false;
  return p;
}

// Asks for nothing but the region and the render; dies where version 2 of a
// suite is fetched; says that all clips are connected; clips range over [0, 1];
// several threads are in one instance.
Profile runner() {
  Profile p;
  p.label = "openfx-runner";
  p.contexts = {kOfxImageEffectContextFilter, kOfxImageEffectContextGeneral,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthFloat};
  p.die_on_version_2 = true;
  p.unconnected_says_connected = true;
  p.unit_range = true;
  p.ignore_time = true;
  p.ask_identity = p.ask_frames_needed = p.ask_time_domain = false;
  p.ask_preferences = p.sequence_actions = false;
  p.one_thread_an_instance = false;
  p.roi_images = false;
  return p;
}

// Inverts the render scale on images; a bad status from getFramesNeeded fails
// the render.
Profile fusion() {
  Profile p = resolve();
  p.label = "Fusion";
  p.depths = {kOfxBitDepthFloat, kOfxBitDepthByte};
  p.image_scale = ImageScale::inverted;
  p.frames_needed_must_succeed = true;
  return p;
}

// Leaves the render scale off its images; dies where an edit block begins
// while an instance is made.
Profile vegas() {
  Profile p;
  p.label = "com.sonycreativesoftware.vegas";
  p.contexts = {kOfxImageEffectContextFilter, kOfxImageEffectContextGeneral,
                kOfxImageEffectContextGenerator};
  p.depths = {kOfxBitDepthByte, kOfxBitDepthFloat};
  p.components = {kOfxImageComponentRGBA};
  p.image_scale = ImageScale::missing;
  p.edit_block_in_create_kills = true;
  return p;
}

Profile plain() {
  Profile p;
  p.contexts = {kOfxImageEffectContextFilter, kOfxImageEffectContextGeneral,
                kOfxImageEffectContextGenerator,
                kOfxImageEffectContextTransition,
                kOfxImageEffectContextRetimer};
  return p;
}

} // namespace

Profile profile = plain();

std::vector<std::string> profile_names() {
  return {"plain", "natron",  "resolve", "resolve-cuda", "nuke",
          "melt",  "minimal", "runner",  "fusion",       "vegas"};
}

bool find_profile(const std::string &name, Profile &found) {
  if (name == "plain")
    found = plain();
  else if (name == "natron")
    found = natron();
  else if (name == "resolve")
    found = resolve();
  else if (name == "resolve-cuda")
    found = resolve_cuda();
  else if (name == "nuke")
    found = nuke();
  else if (name == "melt")
    found = melt();
  else if (name == "minimal")
    found = minimal();
  else if (name == "runner")
    found = runner();
  else if (name == "fusion")
    found = fusion();
  else if (name == "vegas")
    found = vegas();
  else
    return false;
  found.name = name;
  return true;
}

} // namespace host
