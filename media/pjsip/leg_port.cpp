#include "leg_port.hpp"

#include <pj/log.h>
#include <pj/pool.h>
#include <pj/string.h>
#include <pjmedia/jbuf.h>
#include <pjsua-lib/pjsua.h>

#include <new>

#include "wire_transport.hpp"

#define THIS_FILE "leg_port.cpp"

namespace framebus {

namespace {

constexpr unsigned kSignature = PJMEDIA_SIGNATURE('L', 'E', 'G', 'P');
// A gap up to this long is taken for loss and concealed; a longer one for a sender that is silent.
constexpr unsigned kConcealedGapMs = 60;
constexpr unsigned kFiguresEvery = 50;  // packets between two looks at the jitter buffer
// After a packet that did not follow its forerunner, so long for the one between them to come after all.
constexpr std::int64_t kReorderNs = 10'000'000;

struct LegPort {
  pjmedia_port base;  // first: PJMEDIA hands us a pointer to it
  pj_pool_t* pool;
  FrameBus* bus;
  std::shared_ptr<Leg> leg;
  std::shared_ptr<Wire> wire;
  pjmedia_stream* stream;
  pjmedia_port* stream_port;
  std::int16_t* buffer;
  unsigned samples;     // one packet at the codec's rate
  int rate;
  unsigned packet_ms;
  unsigned codec_ms;    // one frame of the jitter buffer
  bool sends;           // SDP direction
  bool heard_anything;
  unsigned gap_ms;
  HearingPace pace;
  std::uint64_t came;   // packets when we last looked into the jitter buffer
  bool more;            // and whether it held another one then
  unsigned unspoken_ms; // since the last packet that we sent
  unsigned spoken;      // packets sent
};

LegPort& self(pjmedia_port* base) { return *reinterpret_cast<LegPort*>(base); }

void copy_jitter_figures(LegPort& port) {
  pjmedia_jb_state state;
  if (pjmedia_stream_get_stat_jbuf(port.stream, &state) != PJ_SUCCESS) return;
  auto& to = port.leg->jitter;
  const auto set = [](Counter& counter, unsigned value) { counter.store(value, std::memory_order_relaxed); };
  set(to.frames, state.size);
  set(to.prefetch, state.prefetch);
  set(to.delay_ms, state.avg_delay);
  set(to.delay_max_ms, state.max_delay);
  set(to.burst, state.avg_burst);
  set(to.lost, state.lost);
  set(to.discarded, state.discard);
  set(to.empty, state.empty);
}

std::uint32_t flags_of(LegPort& port, char jitter_frame) {
  if (jitter_frame == PJMEDIA_JB_NORMAL_FRAME) {
    port.heard_anything = true;
    port.gap_ms = 0;
    return 0;
  }
  if (jitter_frame == PJMEDIA_JB_MISSING_FRAME) return kLost;  // later packets are here already
  port.gap_ms += port.packet_ms;
  const bool silent = port.wire && port.wire->silent.load(std::memory_order_relaxed);
  return port.heard_anything && !silent && port.gap_ms <= kConcealedGapMs ? kLost : kDtx;
}

// Whether a whole packet waits in the jitter buffer and may be taken before its time.
bool ready(LegPort& port) {
  const auto came = port.wire->buffered.load(std::memory_order_relaxed);
  if (came == port.came && !port.more) return false;
  if (monotonic_ns() - port.wire->disorder_ns.load(std::memory_order_relaxed) < kReorderNs) return false;
  pjmedia_jb_state state;
  if (pjmedia_stream_get_stat_jbuf(port.stream, &state) != PJ_SUCCESS) return false;
  port.came = came;
  port.more = state.size * port.codec_ms >= port.packet_ms;
  return port.more;
}

// Stream -> leg. The jitter buffer decides, the codec decodes or conceals.
void hear(LegPort& port) {
  pjmedia_frame frame{};
  frame.buf = port.buffer;
  frame.size = port.samples * sizeof *port.buffer;
  const auto status = pjmedia_port_get_frame(port.stream_port, &frame);
  const auto now = monotonic_ns();
  std::uint32_t flags = kDtx;
  auto arrived = now;
  auto found = static_cast<char>(PJMEDIA_JB_ZERO_EMPTY_FRAME);
  if (status == PJ_SUCCESS && frame.type == PJMEDIA_FRAME_TYPE_AUDIO) {
    found = pjmedia_stream_get_last_jb_frame_type(port.stream);
    flags = flags_of(port, found);
    if (!flags && port.wire) {
      const auto rtp_ts = static_cast<std::uint32_t>(frame.timestamp.u64);  // build.py patches this in
      arrived = port.wire->arrivals.find(rtp_ts, now);
      port.wire->played_ts.store(rtp_ts, std::memory_order_relaxed);
    }
  } else {
    pj_bzero(port.buffer, port.samples * sizeof *port.buffer);  // paused, or in its first beat
  }
  port.pace.found(found == PJMEDIA_JB_NORMAL_FRAME || found == PJMEDIA_JB_MISSING_FRAME);
  port.leg->hear(port.buffer, port.samples, port.rate, arrived, flags);
  port.bus->after_heard();
}

// Leg -> stream, which encodes and sends. The queue is read here and nowhere earlier.
void speak(LegPort& port, pjmedia_frame* beat) {
  if (!port.sends) {  // held: the queue stands still, only the RTP clock goes on
    pjmedia_port_put_frame(port.stream_port, beat);
    return;
  }
  port.leg->speak(port.buffer, port.samples, port.rate);
  pjmedia_frame frame{};
  frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
  frame.buf = port.buffer;
  frame.size = port.samples * sizeof *port.buffer;
  frame.timestamp = beat->timestamp;
  pjmedia_port_put_frame(port.stream_port, &frame);
}

// Called by the bridge in the clock thread, at every beat, with a NONE frame: nobody transmits to us in the bridge,
// and this is its way to keep such ports alive. What is heard goes by the packets that come, what is said by the clock.
pj_status_t on_beat(pjmedia_port* base, pjmedia_frame* beat) {
  LegPort& port = self(base);
  if (port.leg->port.load(std::memory_order_acquire) != &port)  // closed, or a newer stream took over
    return PJ_SUCCESS;
  // What is handed to another leg is played out by this clock.
  const bool ours = port.wire && !port.leg->handed_on();
  const bool patient = ours && !port.wire->silent.load(std::memory_order_relaxed);
  if (port.pace.due(port.packet_ms, ours && ready(port), patient)) hear(port);
  port.unspoken_ms += kBeatMs;
  if (port.unspoken_ms < port.packet_ms) return PJ_SUCCESS;
  port.unspoken_ms -= port.packet_ms;
  speak(port, beat);
  port.bus->after_spoken(*port.leg, monotonic_ns());
  if (port.spoken++ % kFiguresEvery == 0) copy_jitter_figures(port);
  return PJ_SUCCESS;
}

// Only called if somebody connects us in the bridge, which nobody should.
pj_status_t on_read(pjmedia_port*, pjmedia_frame* frame) {
  frame->type = PJMEDIA_FRAME_TYPE_NONE;
  frame->size = 0;
  return PJ_SUCCESS;
}

pj_status_t on_last_reference(pjmedia_port* base) {
  LegPort& port = self(base);
  port.bus->detach(*port.leg, &port);
  pjmedia_port_dec_ref(port.stream_port);
  pj_pool_t* pool = port.pool;
  port.~LegPort();
  pj_pool_safe_release(&pool);
  return PJ_SUCCESS;
}

}  // namespace

pjmedia_port* make_leg_port(FrameBus& bus, std::shared_ptr<Leg> leg, pjmedia_stream* stream,
                            pjmedia_port* stream_port, unsigned bridge_rate) {
  const int rate = static_cast<int>(PJMEDIA_PIA_SRATE(&stream_port->info));
  const unsigned samples = PJMEDIA_PIA_SPF(&stream_port->info);
  if ((rate != 8000 && rate != kMaxRate) || PJMEDIA_PIA_CCNT(&stream_port->info) != 1) {
    PJ_LOG(1, (THIS_FILE, "leg %d: no audio, a stream at %d Hz with %d channels is not supported", leg->handle,
               rate, static_cast<int>(PJMEDIA_PIA_CCNT(&stream_port->info))));
    return nullptr;
  }
  pjmedia_stream_info info;
  if (pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS) return nullptr;

  pj_pool_t* pool = pjsua_pool_create("leg%p", 1024 + samples * sizeof(std::int16_t), 512);
  if (!pool) return nullptr;
  auto* port = new (pj_pool_zalloc(pool, sizeof(LegPort))) LegPort{};
  port->pool = pool;
  port->bus = &bus;
  port->stream = stream;
  port->stream_port = stream_port;
  port->samples = samples;
  port->rate = rate;
  port->packet_ms = samples * 1000 / static_cast<unsigned>(rate);
  // Legs take turns at the clock's beats, so that neither packets nor work come all at once.
  const auto place = static_cast<unsigned>(leg->handle & 0xffff) % std::max(port->packet_ms / kBeatMs, 1u);
  port->unspoken_ms = port->packet_ms - kBeatMs * (place + 1);
  const auto& codec = info.param->info;
  port->codec_ms = codec.frm_ptime / std::max<unsigned>(codec.frm_ptime_denum, 1);
  port->sends = (info.dir & PJMEDIA_DIR_ENCODING) != 0;
  port->buffer = static_cast<std::int16_t*>(pj_pool_zalloc(pool, samples * sizeof(std::int16_t)));
  port->wire = wire_of(pjmedia_stream_get_transport(stream));
  if (port->wire) {
    port->wire->audio_pt.store(static_cast<int>(info.rx_pt), std::memory_order_relaxed);
    port->wire->event_pt.store(info.rx_event_pt, std::memory_order_relaxed);
    port->wire->played_ts.store(-1, std::memory_order_relaxed);
  }

  // To the bridge we look like a port at its own rate and with its own frames, whatever the codec's: it then builds
  // no resampler for us, and its heart-beats come with every tick.
  pj_str_t name = pj_str(const_cast<char*>("leg"));
  pjmedia_port_info_init(&port->base.info, &name, kSignature, bridge_rate, 1, 16, bridge_rate / kBeatsPerSecond);
  port->base.put_frame = &on_beat;
  port->base.get_frame = &on_read;
  port->base.on_destroy = &on_last_reference;
  port->leg = std::move(leg);
  pjmedia_port_add_ref(stream_port);
  pjmedia_port_init_grp_lock(&port->base, pool, nullptr);
  if (!bus.attach(*port->leg, port, rate, port->wire)) {
    PJ_LOG(2, (THIS_FILE, "leg %d already has a stream; this one stays silent", port->leg->handle));
  }
  return &port->base;
}

void release_leg_port(pjmedia_port* base) {
  if (!base || base->info.signature != kSignature) return;
  LegPort& port = self(base);
  port.bus->detach(*port.leg, &port);
}

}  // namespace framebus
