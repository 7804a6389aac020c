#include "wire_transport.hpp"

#include <pj/lock.h>
#include <pj/pool.h>
#include <pj/string.h>
#include <pjmedia/endpoint.h>

#include <new>

#include "frame_bus.hpp"
#include "pjsua_hooks.hpp"

namespace framebus {

namespace {

struct WireTransport {
  pjmedia_transport base;  // first: PJMEDIA hands us a pointer to it
  pj_pool_t* pool;
  pjmedia_transport* inner;
  bool close_inner;
  std::shared_ptr<Wire> wire;

  // The stream that attached to us.
  void* user_data;
  void (*rtp)(void*, void*, pj_ssize_t);
  void (*rtp2)(pjmedia_tp_cb_param*);
  void (*rtcp)(void*, void*, pj_ssize_t);
};

WireTransport& self(pjmedia_transport* base) { return *reinterpret_cast<WireTransport*>(base); }
pjmedia_transport* inner(pjmedia_transport* base) { return self(base).inner; }

Source source_of(const pj_sockaddr_t* address) {
  const auto* known = static_cast<const pj_sockaddr*>(address);
  if (!known || (known->addr.sa_family != pj_AF_INET() && known->addr.sa_family != pj_AF_INET6())) return {};
  return Source::of(static_cast<const std::uint8_t*>(pj_sockaddr_get_addr(known)), pj_sockaddr_get_addr_len(known),
                    pj_sockaddr_get_port(known));
}

void on_rtp(pjmedia_tp_cb_param* param) {
  auto& transport = *static_cast<WireTransport*>(param->user_data);
  auto verdict = Wire::Verdict::audio;
  if (param->size >= 0) {  // a negative size is a socket error, which the stream wants to know
    if (param->src_addr && !transport.wire->source.admits(source_of(param->src_addr), monotonic_ns())) {
      count(transport.wire->rx_foreign);
      return;
    }
    verdict = transport.wire->receive(static_cast<const std::uint8_t*>(param->pkt),
                                      static_cast<std::size_t>(param->size), monotonic_ns());
    if (verdict == Wire::Verdict::garbage) return;
  }
  if (transport.rtp2) {
    // The same block goes on: through it the stream asks to switch the remote address.
    param->user_data = transport.user_data;
    transport.rtp2(param);
    param->user_data = &transport;
  } else if (transport.rtp) {
    transport.rtp(transport.user_data, param->pkt, param->size);
  }
  if (verdict == Wire::Verdict::audio) count(transport.wire->buffered);  // only now: the clock may look for it
  // pjsua2 has put the key on a list for its event loop, which may be asleep.
  if (verdict == Wire::Verdict::key) wakeup();
}

void on_rtcp(void* user_data, void* packet, pj_ssize_t size) {
  auto& transport = *static_cast<WireTransport*>(user_data);
  if (transport.rtcp) transport.rtcp(transport.user_data, packet, size);
}

pj_status_t attach(pjmedia_transport* base, pjmedia_transport_attach_param* param) {
  auto& transport = self(base);
  transport.user_data = param->user_data;
  transport.rtp = param->rtp_cb;
  transport.rtp2 = param->rtp_cb2;
  transport.rtcp = param->rtcp_cb;
  transport.wire->source.expect(source_of(&param->rem_addr));
  param->user_data = &transport;
  param->rtp_cb = nullptr;
  param->rtp_cb2 = &on_rtp;
  param->rtcp_cb = &on_rtcp;
  return pjmedia_transport_attach2(transport.inner, param);
}

// The callbacks stay as they are: the socket may be in the middle of one, and the inner transport
// calls none after it has let go of us.
void detach(pjmedia_transport* base, void*) { pjmedia_transport_detach(inner(base), &self(base)); }

pj_status_t send_rtp(pjmedia_transport* base, const void* packet, pj_size_t size) {
  count(self(base).wire->tx_packets);
  return pjmedia_transport_send_rtp(inner(base), packet, size);
}

pj_status_t send_rtcp(pjmedia_transport* base, const void* packet, pj_size_t size) {
  return pjmedia_transport_send_rtcp(inner(base), packet, size);
}

pj_status_t send_rtcp2(pjmedia_transport* base, const pj_sockaddr_t* address, unsigned address_size,
                       const void* packet, pj_size_t size) {
  return pjmedia_transport_send_rtcp2(inner(base), address, address_size, packet, size);
}

pj_status_t get_info(pjmedia_transport* base, pjmedia_transport_info* info) {
  return pjmedia_transport_get_info(inner(base), info);
}

pj_status_t media_create(pjmedia_transport* base, pj_pool_t* pool, unsigned options,
                         const pjmedia_sdp_session* remote, unsigned index) {
  return pjmedia_transport_media_create(inner(base), pool, options, remote, index);
}

pj_status_t encode_sdp(pjmedia_transport* base, pj_pool_t* pool, pjmedia_sdp_session* local,
                       const pjmedia_sdp_session* remote, unsigned index) {
  return pjmedia_transport_encode_sdp(inner(base), pool, local, remote, index);
}

pj_status_t media_start(pjmedia_transport* base, pj_pool_t* pool, const pjmedia_sdp_session* local,
                        const pjmedia_sdp_session* remote, unsigned index) {
  return pjmedia_transport_media_start(inner(base), pool, local, remote, index);
}

pj_status_t media_stop(pjmedia_transport* base) { return pjmedia_transport_media_stop(inner(base)); }

pj_status_t simulate_lost(pjmedia_transport* base, pjmedia_dir direction, unsigned percent) {
  return pjmedia_transport_simulate_lost(inner(base), direction, percent);
}

void on_last_reference(void* transport) {
  auto* dying = static_cast<WireTransport*>(transport);
  pj_pool_t* pool = dying->pool;
  dying->~WireTransport();
  pj_pool_release(pool);
}

pj_status_t destroy(pjmedia_transport* base) {
  auto& transport = self(base);
  pj_grp_lock_t* lock = base->grp_lock;
  if (transport.close_inner) pjmedia_transport_close(transport.inner);
  if (lock)
    pj_grp_lock_dec_ref(lock);
  else
    on_last_reference(&transport);
  return PJ_SUCCESS;
}

pjmedia_transport_op operations = {
    &get_info,     nullptr,     &detach,     &send_rtp,      &send_rtcp, &send_rtcp2, &media_create,
    &encode_sdp,   &media_start, &media_stop, &simulate_lost, &destroy,   &attach,
};

}  // namespace

pjmedia_transport* wrap_transport(pjmedia_endpt* endpoint, pjmedia_transport* inner_transport, bool close_inner) {
  pj_pool_t* pool = pjmedia_endpt_create_pool(endpoint, "wire%p", 1024, 512);
  if (!pool) return inner_transport;
  void* memory = pj_pool_zalloc(pool, sizeof(WireTransport));
  auto* transport = new (memory) WireTransport{};
  transport->pool = pool;
  transport->inner = inner_transport;
  transport->close_inner = close_inner;
  transport->wire = std::make_shared<Wire>();
  pj_ansi_strxcpy(transport->base.name, pool->obj_name, sizeof transport->base.name);
  transport->base.type = static_cast<pjmedia_transport_type>(PJMEDIA_TRANSPORT_TYPE_USER + 1);
  transport->base.op = &operations;
  // We live exactly as long as the transport we wrap: its socket may call us until then.
  if (inner_transport->grp_lock) {
    transport->base.grp_lock = inner_transport->grp_lock;
    pj_grp_lock_add_ref(inner_transport->grp_lock);
    pj_grp_lock_add_handler(inner_transport->grp_lock, pool, transport, &on_last_reference);
  }
  return &transport->base;
}

std::shared_ptr<Wire> wire_of(pjmedia_transport* transport) {
  if (!transport || transport->op != &operations) return nullptr;
  return self(transport).wire;
}

}  // namespace framebus
