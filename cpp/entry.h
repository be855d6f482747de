// The door: what the three exported symbols lead to.
#pragma once

#include <cstdint>

namespace longtake {

/// Address of the OfxPlugin, which lives as long as the process.
std::size_t plugin_address() noexcept;

/// Takes the OfxHost at this address; null is ignored.
void take_host(std::size_t host) noexcept;

} // namespace longtake
