// The port that stands in the conference bridge for one call's stream: see make_leg_port().
#pragma once

#include <pjmedia/stream.h>

#include <memory>

#include "frame_bus.hpp"

namespace framebus {

// Wraps `stream_port`, so that each of the bridge's heart-beats moves one packet's worth of audio
// both ways between the stream and `leg`. Null if the stream's format is not ours (then the
// stream goes into the bridge as it is, and is silent). The port holds a reference to the stream
// and is freed with its own last reference: the bridge's, whose removal of ports is asynchronous.
pjmedia_port* make_leg_port(FrameBus& bus, std::shared_ptr<Leg> leg, pjmedia_stream* stream,
                            pjmedia_port* stream_port, unsigned bridge_rate);

// The stream behind this port is going: the leg is free for its successor from now on. Takes any
// port of the bridge; those that are not ours are left alone.
void release_leg_port(pjmedia_port* port);

}  // namespace framebus
