// Names of OpenFX 1.5 that the headers we build with do not have yet, as the
// specification spells them.
#pragma once

#ifndef kOfxImageEffectPropNoSpatialAwareness
#define kOfxImageEffectPropNoSpatialAwareness                                  \
  "OfxImageEffectPropNoSpatialAwareness"
#endif
#ifndef kOfxImageEffectPropColourManagementStyle
#define kOfxImageEffectPropColourManagementStyle                               \
  "OfxImageEffectPropColourManagementStyle"
#endif
#ifndef kOfxImageEffectPropColourManagementNone
#define kOfxImageEffectPropColourManagementNone                                \
  "OfxImageEffectColourManagementNone"
#endif
#ifndef kOfxImageEffectPropCudaEnabled
#define kOfxImageEffectPropCudaEnabled "OfxImageEffectPropCudaEnabled"
#endif
#ifndef kOfxImageEffectPropCudaStreamSupported
#define kOfxImageEffectPropCudaStreamSupported                                 \
  "OfxImageEffectPropCudaStreamSupported"
#endif
#ifndef kOfxImageEffectPropCudaStream
#define kOfxImageEffectPropCudaStream "OfxImageEffectPropCudaStream"
#endif
#ifndef kOfxStatGPUOutOfMemory
#define kOfxStatGPUOutOfMemory ((int)1001)
#endif
#ifndef kOfxStatGPURenderFailed
#define kOfxStatGPURenderFailed ((int)1002)
#endif
