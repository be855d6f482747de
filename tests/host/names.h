// Names of OpenFX that the headers this host is built with do not have yet, as
// the specification spells them.
#pragma once

#ifndef kOfxStatGPUOutOfMemory
#define kOfxStatGPUOutOfMemory ((int)1001)
#endif
#ifndef kOfxStatGPURenderFailed
#define kOfxStatGPURenderFailed ((int)1002)
#endif
