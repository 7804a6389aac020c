#include "pjsua_hooks.hpp"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "leg_port.hpp"
#include "wire_transport.hpp"

#define THIS_FILE "pjsua_hooks.cpp"

namespace framebus {

namespace {

// pjsua is one per process, and so are its hooks. Never destroyed: at the process's end the clock
// may still tick after static objects are gone.
std::shared_ptr<FrameBus>& bus = *new std::shared_ptr<FrameBus>;
pjsua_callback previous;
int wake_write = -1;

// --- calls ------------------------------------------------------------------------------------

pjmedia_transport* on_create_media_transport(pjsua_call_id call_id, unsigned media_index,
                                             pjmedia_transport* inner, unsigned flags) {
  if (previous.on_create_media_transport)
    inner = previous.on_create_media_transport(call_id, media_index, inner, flags);
  if (!inner) return nullptr;
  return wrap_transport(pjsua_var.med_endpt, inner, (flags & PJSUA_MED_TP_CLOSE_MEMBER) != 0);
}

void on_stream_created2(pjsua_call_id call_id, pjsua_on_stream_created_param* param) {
  if (previous.on_stream_created2) previous.on_stream_created2(call_id, param);
  auto leg = bus->leg_of_call(call_id);
  if (!leg) {
    PJ_LOG(2, (THIS_FILE, "call %d has no leg: its stream stays silent", call_id));
    return;
  }
  if (auto* port = make_leg_port(*bus, std::move(leg), param->stream, param->port, pjsua_var.media_cfg.clock_rate)) {
    param->port = port;
    param->destroy_port = PJ_TRUE;
  }
}

// pjsua leaves this one out when it hangs up itself; then the leg is detached with the port.
void on_stream_destroyed(pjsua_call_id call_id, pjmedia_stream* stream, unsigned index) {
  release_leg_port(pjsua_var.calls[call_id].media[index].strm.a.media_port);
  if (previous.on_stream_destroyed) previous.on_stream_destroyed(call_id, stream, index);
}

void hook_callbacks() {
  pjsua_callback& now = pjsua_var.ua_cfg.cb;
  previous = now;
  now.on_create_media_transport = &on_create_media_transport;
  now.on_stream_created2 = &on_stream_created2;
  now.on_stream_destroyed = &on_stream_destroyed;
  // pjsua2 would take this one from the clock thread straight into Python, and wait for the GIL.
  pjmedia_conf_set_op_cb(pjsua_var.mconf, nullptr);
}

// --- clock: the null sound device reads its port before and writes it after the bridge's turn ---

pj_status_t on_tick_begin(pjmedia_port*, pjmedia_frame* frame) {
  bus->tick_begin();
  frame->type = PJMEDIA_FRAME_TYPE_NONE;
  return PJ_SUCCESS;
}

pj_status_t on_tick_end(pjmedia_port*, pjmedia_frame*) {
  bus->tick_end();
  return PJ_SUCCESS;
}

void start_clock() {
  pjsua_var.null_port->get_frame = &on_tick_begin;
  pjsua_var.null_port->put_frame = &on_tick_end;
  // No leg is ever connected in the bridge, so pjsua would take the device for idle and close it.
  pjsua_var.media_cfg.snd_auto_close_time = -1;
  if (pjsua_set_null_snd_dev() != PJ_SUCCESS) throw std::runtime_error("cannot start the media clock");
}

// --- event loop: one end of a socket pair lives in SIP's I/O queue --------------------------------

pj_ioqueue_op_key_t wake_operation;
char wake_buffer[64];

void read_wakeups(pj_ioqueue_key_t* key) {
  // Data that is there already is returned at once, without a callback; take all of it.
  for (;;) {
    pj_ssize_t size = sizeof wake_buffer;
    if (pj_ioqueue_recv(key, &wake_operation, wake_buffer, &size, 0) != PJ_SUCCESS || size <= 0) return;
  }
}

void on_wakeup(pj_ioqueue_key_t* key, pj_ioqueue_op_key_t*, pj_ssize_t size) {
  if (size > 0) read_wakeups(key);
}

void watch_wakeups() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error("cannot create the wake-up socket pair");
  pj_ioqueue_callback callback{};
  callback.on_read_complete = &on_wakeup;
  pj_ioqueue_key_t* key = nullptr;
  if (pj_ioqueue_register_sock(pjsua_var.pool, pjsip_endpt_get_ioqueue(pjsua_var.endpt), ends[0], nullptr, &callback,
                               &key) != PJ_SUCCESS) {
    ::close(ends[0]);
    ::close(ends[1]);
    throw std::runtime_error("cannot register the wake-up socket");
  }
  pj_ioqueue_op_key_init(&wake_operation, sizeof wake_operation);
  // A second endpoint in one process (tests): the first one's reading end went with its queue.
  if (wake_write >= 0) ::close(wake_write);
  wake_write = ends[1];
  read_wakeups(key);
}

void check_pjsua() {
  if (!pjsua_var.mconf) throw std::runtime_error("install() comes after Endpoint.libInit()");
  if (pjsua_var.ua_cfg.cb.on_stream_created2 == &on_stream_created2)
    throw std::runtime_error("a frame bus is installed already");
  const auto& config = pjsua_var.media_cfg;
  if (config.audio_frame_ptime != kBeatMs)
    throw std::runtime_error("MediaConfig.audioFramePtime must be " + std::to_string(kBeatMs));
  if (config.channel_count != 1) throw std::runtime_error("MediaConfig.channelCount must be 1");
}

}  // namespace

void install(std::shared_ptr<FrameBus> installed) {
  check_pjsua();
  bus = std::move(installed);
  hook_callbacks();
  watch_wakeups();
  start_clock();
}

void wakeup() noexcept {
  if (wake_write >= 0) [[maybe_unused]]
    auto sent = ::send(wake_write, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace framebus
