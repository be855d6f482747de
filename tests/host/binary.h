// The plug-in's side of the host: shared objects, and each action on its way
// into a plug-in.
#pragma once

#include <string>

#include "openfx.h"

namespace host {

// The innermost action that this thread is in, or "".
const char *current_action();
// Whether this thread is in `action`.
bool in_action(const char *action);
// Whether images may be fetched now: in a render, or after a user's edit.
bool may_fetch_images();

// Whether the unload action is kept from plug-ins (some hosts never send it).
void skip_unload(bool skip);

// Set where a message is posted while a plug-in is described.
void note_message_in_describe();

} // namespace host
