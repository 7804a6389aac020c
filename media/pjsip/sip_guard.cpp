#include "sip_guard.hpp"

#include <arpa/inet.h>
#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace framebus {

namespace {

constexpr std::array<const char*, static_cast<std::size_t>(GuardCount::count_)> kNames{
    "passed", "scanner", "stranger_dropped", "stranger_refused", "register", "method", "call_limit", "options", "body",
    "srtp_unavailable", "merged"};

// Methods that only make sense within a dialog: without one the answer is 481, not 405.
constexpr std::array<std::string_view, 6> kInDialog{"BYE", "INFO", "UPDATE", "PRACK", "NOTIFY", "REFER"};

// What pjsua does with a request inside a dialog. Whatever else comes it answers 500, which peers take for an
// outage of ours.
constexpr std::array<std::string_view, 10> kServed{"INVITE", "ACK",    "CANCEL", "BYE",     "INFO",
                                                   "UPDATE", "PRACK", "REFER",  "OPTIONS", "NOTIFY"};

std::string_view view(const pj_str_t& text) { return {text.ptr, static_cast<std::size_t>(std::max<long>(0, text.slen))}; }

bool same(std::string_view a, const char* b) {
  return a.size() == std::strlen(b) && strncasecmp(a.data(), b, a.size()) == 0;
}

void add(pjsip_hdr& list, pj_pool_t* pool, const char* name, const std::string& value) {
  const pj_str_t key = pj_str(const_cast<char*>(name));
  pj_str_t text;
  const pj_str_t source{const_cast<char*>(value.data()), static_cast<pj_ssize_t>(value.size())};
  pj_strdup(pool, &text, &source);
  pj_list_push_back(&list, pjsip_generic_string_hdr_create(pool, &key, &text));
}

void add_capability(pjsip_hdr& list, pj_pool_t* pool, int type) {
  if (const pjsip_hdr* header = pjsip_endpt_get_capability(pjsua_var.endpt, type, nullptr))
    pj_list_push_back(&list, pjsip_hdr_clone(pool, header));
}

void answer(pjsip_rx_data* rdata, int code, const pjsip_hdr* headers = nullptr) {
  pjsip_endpt_respond_stateless(pjsua_var.endpt, rdata, code, nullptr, headers, nullptr);
}

bool has_dialog(pjsip_rx_data* rdata) {
  return pjsip_ua_find_dialog(&rdata->msg_info.cid->id, &rdata->msg_info.to->tag, &rdata->msg_info.from->tag,
                              PJ_FALSE) != nullptr;
}

bool is_any(std::string_view text, std::initializer_list<const char*> choices) {
  return std::any_of(choices.begin(), choices.end(), [&](const char* choice) { return same(text, choice); });
}

// Whether every audio line of an offer wants keys by DTLS (RFC 5764), which this build does not do; PJSIP would
// answer 480, as if nobody were at home.
bool wants_dtls(pjsip_rx_data* rdata) {
  const pjsip_msg_body* body = rdata->msg_info.msg->body;
  if (!body) return false;
  const std::string_view sdp(static_cast<const char*>(body->data), body->len);
  constexpr std::string_view kAudio = "\nm=audio ";
  bool wanted = false;
  for (auto at = sdp.find(kAudio); at != sdp.npos; at = sdp.find(kAudio, at + 1)) {
    const auto line = sdp.substr(at + 1, sdp.find('\n', at + 1) - at - 1);
    wanted = line.find(" UDP/TLS/") != line.npos;
    if (!wanted) return false;
  }
  return wanted;
}

// The bare body of an `application/dtmf` INFO in the form that pjsua reads, so that it is answered and
// reported like any other key.
void unify_key(pjsip_rx_data* rdata) {
  pjsip_msg_body* body = rdata->msg_info.msg->body;
  if (!body || !same(view(body->content_type.type), "application") || !same(view(body->content_type.subtype), "dtmf"))
    return;
  const char* at = static_cast<const char*>(body->data);
  std::string key(at, body->len);
  key.erase(std::remove_if(key.begin(), key.end(), [](unsigned char c) { return std::isspace(c); }), key.end());
  if (key == "10") key = "*";
  if (key == "11") key = "#";
  if (key.size() != 1 || !std::strchr("0123456789*#ABCDabcd", key[0])) return;
  const std::string text = "Signal=" + key + "\r\nDuration=160\r\n";
  auto* data = static_cast<char*>(pj_pool_alloc(rdata->tp_info.pool, text.size() + 1));
  std::memcpy(data, text.c_str(), text.size() + 1);
  body->data = data;
  body->len = static_cast<unsigned>(text.size());
  body->content_type.subtype = pj_str(const_cast<char*>("dtmf-relay"));
}

SipGuard* guard = nullptr;  // pjsua is one per process, and so is its gate

}  // namespace

struct GuardHook {
  static pj_bool_t on_rx_request(pjsip_rx_data* rdata) {
    return guard && !passes(*guard, rdata) ? PJ_TRUE : PJ_FALSE;
  }

  // False when the request was answered or dropped here.
  static bool passes(SipGuard& self, pjsip_rx_data* rdata) {
    const bool is_ack = rdata->msg_info.msg->line.req.method.id == PJSIP_ACK_METHOD;
    if (self.is_scanner(user_agent(rdata))) {
      self.count(GuardCount::dropped_scanner);
      return false;
    }
    if (!self.knows(rdata->pkt_info.src_name)) {
      const bool silent = self.rules_.drop_strangers || is_ack;
      if (!silent) answer(rdata, PJSIP_SC_FORBIDDEN);
      self.count(silent ? GuardCount::dropped_stranger : GuardCount::refused_stranger);
      return false;
    }
    if (rdata->msg_info.to && rdata->msg_info.to->tag.slen) return continues(self, rdata);
    return is_ack || begins(self, rdata);
  }

  // A request inside a dialog. One that belongs to none gets PJSIP's 481.
  static bool continues(SipGuard& self, pjsip_rx_data* rdata) {
    const std::string_view method = view(rdata->msg_info.msg->line.req.method.name);
    if (std::find(kServed.begin(), kServed.end(), method) == kServed.end()) {
      if (!has_dialog(rdata)) return true;
      self.count(GuardCount::refused_method);
      not_allowed(rdata);
      return false;
    }
    if (method == "OPTIONS") {
      if (!has_dialog(rdata)) return true;
      served(self, rdata);  // the call is up, however full we are
      return false;
    }
    if (method == "INFO") return info(self, rdata);
    return true;
  }

  // Keys and fast updates are for pjsua, an empty INFO asks for nothing (RFC 2976), the rest is not known here.
  static bool info(SipGuard& self, pjsip_rx_data* rdata) {
    unify_key(rdata);
    const pjsip_msg_body* body = rdata->msg_info.msg->body;
    if (!has_dialog(rdata)) return true;
    if (!body || !body->len) {
      answer(rdata, PJSIP_SC_OK);
      return false;
    }
    if (same(view(body->content_type.type), "application") &&
        is_any(view(body->content_type.subtype), {"dtmf-relay", "media_control+xml"}))
      return true;
    pjsip_hdr headers;
    pj_list_init(&headers);
    add(headers, rdata->tp_info.pool, "Accept", "application/dtmf-relay, application/dtmf");
    answer(rdata, PJSIP_SC_UNSUPPORTED_MEDIA_TYPE, &headers);
    self.count(GuardCount::refused_body);
    return false;
  }

  static void not_allowed(pjsip_rx_data* rdata) {
    pjsip_hdr headers;
    pj_list_init(&headers);
    add_capability(headers, rdata->tp_info.pool, PJSIP_H_ALLOW);
    answer(rdata, PJSIP_SC_METHOD_NOT_ALLOWED, &headers);
  }

  // A request outside any dialog, from a peer we know.
  static bool begins(SipGuard& self, pjsip_rx_data* rdata) {
    const pjsip_method& method = rdata->msg_info.msg->line.req.method;
    switch (method.id) {
      case PJSIP_CANCEL_METHOD:
        return true;
      case PJSIP_INVITE_METHOD:
        return invite(self, rdata);
      case PJSIP_OPTIONS_METHOD:
        options(self, rdata);
        return false;
      case PJSIP_REGISTER_METHOD:
        self.count(GuardCount::refused_register);
        break;
      default:
        self.count(GuardCount::refused_method);
        if (std::find(kInDialog.begin(), kInDialog.end(), view(method.name)) != kInDialog.end()) {
          answer(rdata, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST);
          return false;
        }
    }
    not_allowed(rdata);
    return false;
  }

  static bool invite(SipGuard& self, pjsip_rx_data* rdata) {
    pjsip_hdr headers;
    pj_list_init(&headers);
    if (!repeated(rdata) && known_by_another_way(rdata)) {
      answer(rdata, PJSIP_SC_LOOP_DETECTED);
      self.count(GuardCount::merged);
      return false;
    }
    if (wants_dtls(rdata)) {
      add(headers, rdata->tp_info.pool, "Warning", "303 offhook \"Incompatible transport protocol\"");
      answer(rdata, PJSIP_SC_NOT_ACCEPTABLE_HERE, &headers);
      self.count(GuardCount::refused_keying);
      return false;
    }
    if (!self.is_full() || repeated(rdata)) {
      self.count(GuardCount::passed);
      return true;
    }
    add(headers, rdata->tp_info.pool, "Retry-After", std::to_string(self.rules_.retry_after));
    answer(rdata, PJSIP_SC_SERVICE_UNAVAILABLE, &headers);
    self.count(GuardCount::refused_busy);
    return false;
  }

  // The same INVITE by another path (RFC 3261 section 8.2.2.2): the call that it makes is here already.
  static bool known_by_another_way(pjsip_rx_data* rdata) {
    for (unsigned i = 0; i < pjsua_var.ua_cfg.max_calls; ++i) {
      const pjsip_inv_session* session = pjsua_var.calls[i].inv;
      if (!session || session->role != PJSIP_ROLE_UAS) continue;
      const pjsip_dialog* dialog = session->dlg;
      if (dialog->remote.first_cseq == rdata->msg_info.cseq->cseq &&
          pj_strcmp(&dialog->call_id->id, &rdata->msg_info.cid->id) == 0 &&
          pj_strcmp(&dialog->remote.info->tag, &rdata->msg_info.from->tag) == 0)
        return true;
    }
    return false;
  }

  // PJSIP says of an offer without a codec of ours that there was no answer; say why (section 20.43).
  static pj_status_t on_tx_response(pjsip_tx_data* tdata) {
    if (tdata->msg->line.status.code != PJSIP_SC_NOT_ACCEPTABLE_HERE) return PJ_SUCCESS;
    const pj_str_t name = pj_str(const_cast<char*>("Warning"));
    auto* warning =
        static_cast<pjsip_generic_string_hdr*>(pjsip_msg_find_hdr_by_name(tdata->msg, &name, nullptr));
    if (warning && view(warning->hvalue).find("No SDP answer") != std::string_view::npos)
      warning->hvalue = pj_str(const_cast<char*>("305 offhook \"Incompatible media format\""));
    return PJ_SUCCESS;
  }

  // A retransmission of an INVITE that was let in: its transaction answers it.
  static bool repeated(pjsip_rx_data* rdata) {
    pj_str_t key;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAS, &rdata->msg_info.cseq->method, rdata) != PJ_SUCCESS)
      return false;
    pjsip_transaction* transaction = pjsip_tsx_layer_find_tsx2(&key, PJ_FALSE);
    return transaction != nullptr;
  }

  // Answered as an INVITE would be (RFC 3261 section 11.2): load balancers ask this to learn whom to spare.
  static void options(SipGuard& self, pjsip_rx_data* rdata) {
    if (!self.is_full() && !self.draining_.load(std::memory_order_relaxed)) {
      served(self, rdata);
      return;
    }
    pjsip_hdr headers;
    pj_list_init(&headers);
    add_load(self, headers, rdata->tp_info.pool);
    add(headers, rdata->tp_info.pool, "Retry-After", std::to_string(self.rules_.retry_after));
    answer(rdata, PJSIP_SC_SERVICE_UNAVAILABLE, &headers);
    self.count(GuardCount::options);
  }

  // 200 to an OPTIONS, with what we can do.
  static void served(SipGuard& self, pjsip_rx_data* rdata) {
    pj_pool_t* pool = rdata->tp_info.pool;
    pjsip_hdr headers;
    pj_list_init(&headers);
    for (int type : {PJSIP_H_ALLOW, PJSIP_H_ACCEPT, PJSIP_H_SUPPORTED}) add_capability(headers, pool, type);
    add_load(self, headers, pool);
    answer(rdata, PJSIP_SC_OK, &headers);
    self.count(GuardCount::options);
  }

  static void add_load(SipGuard& self, pjsip_hdr& headers, pj_pool_t* pool) {
    add(headers, pool, "Offhook-Load",
        std::to_string(self.active_.load(std::memory_order_relaxed)) + "/" +
            std::to_string(self.limit_.load(std::memory_order_relaxed)));
  }

  static std::string user_agent(pjsip_rx_data* rdata) {
    const pj_str_t name = pj_str(const_cast<char*>("User-Agent"));
    const auto* header = static_cast<pjsip_generic_string_hdr*>(
        pjsip_msg_find_hdr_by_name(rdata->msg_info.msg, &name, nullptr));
    return header ? std::string(view(header->hvalue)) : std::string();
  }
};

namespace {

pjsip_module module_of_guard() {
  pjsip_module module{};
  module.name = pj_str(const_cast<char*>("mod-offhook-guard"));
  module.id = -1;
  module.priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 1;  // before a transaction is made of the request
  module.on_rx_request = &GuardHook::on_rx_request;
  module.on_tx_response = &GuardHook::on_tx_response;
  return module;
}

pjsip_module hook = module_of_guard();

}  // namespace

SipGuard::SipGuard(GuardRules rules) : rules_(std::move(rules)) {
  for (const std::string& text : rules_.networks) {
    const auto slash = text.find('/');
    const std::string address = text.substr(0, slash);
    Network network;
    network.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const int most = network.family == AF_INET ? 32 : 128;
    network.bits = slash == std::string::npos ? most : std::atoi(text.c_str() + slash + 1);
    if (inet_pton(network.family, address.c_str(), network.bytes.data()) != 1 || network.bits < 0 || network.bits > most)
      throw std::invalid_argument("not a network: " + text);
    networks_.push_back(network);
  }
}

SipGuard::~SipGuard() {
  if (guard == this) guard = nullptr;
}

void SipGuard::install() {
  if (!pjsua_var.endpt) throw std::runtime_error("install() comes after Endpoint.libInit()");
  hook = module_of_guard();
  if (pjsip_endpt_register_module(pjsua_var.endpt, &hook) != PJ_SUCCESS)
    throw std::runtime_error("cannot register the SIP guard");
  guard = this;
}

bool SipGuard::knows(const std::string& source) const noexcept {
  std::array<std::uint8_t, 16> address{};
  const int family = source.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(family, source.c_str(), address.data()) != 1) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    if (network.family != family) return false;
    const int whole = network.bits / 8, rest = network.bits % 8;
    if (std::memcmp(network.bytes.data(), address.data(), static_cast<std::size_t>(whole)) != 0) return false;
    const auto at = static_cast<std::size_t>(whole);
    return rest == 0 || (network.bytes[at] ^ address[at]) >> (8 - rest) == 0;
  });
}

bool SipGuard::is_scanner(std::string agent) const {
  if (agent.empty()) return false;
  std::transform(agent.begin(), agent.end(), agent.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::any_of(rules_.scanners.begin(), rules_.scanners.end(),
                     [&](const std::string& scanner) { return agent.find(scanner) != std::string::npos; });
}

std::vector<std::pair<std::string, std::uint64_t>> SipGuard::counts() const {
  std::vector<std::pair<std::string, std::uint64_t>> out;
  for (std::size_t i = 0; i < kNames.size(); ++i) out.emplace_back(kNames[i], counts_[i].load(std::memory_order_relaxed));
  return out;
}

}  // namespace framebus
