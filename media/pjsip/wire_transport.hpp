// A media transport around another one that looks at every packet: see Wire.
#pragma once

#include <pjmedia/transport.h>

#include <memory>

#include "wire.hpp"

namespace framebus {

// Takes over `inner` (and closes it with itself); on failure `inner` is returned as it was.
pjmedia_transport* wrap_transport(pjmedia_endpt* endpoint, pjmedia_transport* inner, bool close_inner);

// The wire of a transport made by wrap_transport(), or nothing.
std::shared_ptr<Wire> wire_of(pjmedia_transport* transport);

}  // namespace framebus
