// Where the bus meets pjsua: its callbacks, its clock, its event loop.
#pragma once

#include <memory>

#include "frame_bus.hpp"

namespace framebus {

// Puts the bus behind every call from now on and starts the media clock. After pjsua_init().
// Throws std::runtime_error with the reason.
void install(std::shared_ptr<FrameBus> bus);

// Makes a thread that is blocked in pjsua_handle_events() return at once. Any thread, any time.
void wakeup() noexcept;

}  // namespace framebus
