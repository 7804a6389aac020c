#include "refer_gate.hpp"

#include <pjsip.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include <algorithm>
#include <stdexcept>

namespace framebus {

namespace {

ReferGate* gate = nullptr;  // pjsua is one per process, and so is its gate
pjsip_module hook;

std::string text(const pj_str_t& from) { return {from.ptr, static_cast<std::size_t>(std::max<long>(0, from.slen))}; }

pj_str_t view(const std::string& from) {
  return {const_cast<char*>(from.data()), static_cast<pj_ssize_t>(from.size())};
}

std::string whole(const pjsip_rx_data* rdata) {
  return {rdata->msg_info.msg_buf, static_cast<std::size_t>(std::max(0, rdata->msg_info.len))};
}

void respond(pjsip_rx_data* rdata, int code) {
  pjsip_endpt_respond_stateless(pjsua_var.endpt, rdata, code, nullptr, nullptr, nullptr);
}

pjsip_dialog* dialog_of(int call) {
  const bool known = call >= 0 && call < static_cast<int>(pjsua_var.ua_cfg.max_calls) && pjsua_var.calls[call].inv;
  return known ? pjsua_var.calls[call].inv->dlg : nullptr;
}

bool is_about_refer(pjsip_rx_data* rdata) {
  const pj_str_t name = pj_str(const_cast<char*>("Event")), brief = pj_str(const_cast<char*>("o"));
  const auto* event = static_cast<const pjsip_event_hdr*>(
      pjsip_msg_find_hdr_by_names(rdata->msg_info.msg, &name, &brief, nullptr));
  return event && pj_stricmp2(&event->event_type, "refer") == 0;
}

}  // namespace

struct ReferHook {
  static pj_bool_t on_rx_request(pjsip_rx_data* rdata) {
    const std::string method = text(rdata->msg_info.msg->line.req.method.name);
    if (!gate || (method != "REFER" && method != "NOTIFY") || !rdata->msg_info.to->tag.slen) return PJ_FALSE;
    pjsip_dialog* dialog = pjsip_ua_find_dialog(&rdata->msg_info.cid->id, &rdata->msg_info.to->tag,
                                                &rdata->msg_info.from->tag, PJ_TRUE);
    if (!dialog) return PJ_FALSE;  // PJSIP answers 481
    const pj_bool_t taken = method == "REFER" ? refer(*gate, dialog, rdata) : notify(*gate, dialog, rdata);
    pjsip_dlg_dec_lock(dialog);
    return taken;
  }

  static const pjsua_call* call_of(const pjsip_dialog* dialog) {
    const auto* call = static_cast<const pjsua_call*>(dialog->mod_data[pjsua_var.mod.id]);
    return call && call->inv ? call : nullptr;
  }

  static pj_bool_t refer(ReferGate& self, pjsip_dialog* dialog, pjsip_rx_data* rdata) {
    pj_str_t key;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAS, &rdata->msg_info.cseq->method, rdata) !=
        PJ_SUCCESS)
      return PJ_FALSE;
    if (pjsip_tsx_layer_find_tsx2(&key, PJ_FALSE)) return PJ_FALSE;  // sent again: its transaction knows
    const pjsua_call* call = call_of(dialog);
    if (!call || self.open_.size() >= ReferGate::kMostOpen) {
      respond(rdata, PJSIP_SC_DECLINE);
    } else if (rdata->msg_info.cseq->cseq <= dialog->remote.cseq) {  // RFC 3261 section 12.2.2
      respond(rdata, PJSIP_SC_INTERNAL_SERVER_ERROR);
    } else {
      dialog->remote.cseq = rdata->msg_info.cseq->cseq;
      open(self, dialog, rdata, call->index);
    }
    return PJ_TRUE;
  }

  static void open(ReferGate& self, pjsip_dialog* dialog, pjsip_rx_data* rdata, int call) {
    pjsip_tx_data* response;
    if (pjsip_endpt_create_response(pjsua_var.endpt, rdata, PJSIP_SC_ACCEPTED, nullptr, &response) != PJ_SUCCESS)
      return;
    pjsip_transaction* transaction;
    if (pjsip_tsx_create_uas2(&hook, rdata, nullptr, &transaction) != PJ_SUCCESS) {
      pjsip_tx_data_dec_ref(response);
      return;
    }
    pjsip_tsx_recv_msg(transaction, rdata);
    pjsip_msg_add_hdr(response->msg,
                      static_cast<pjsip_hdr*>(pjsip_hdr_clone(response->pool, dialog->local.contact)));
    const auto ticket = self.next_++;
    self.open_[ticket] = {text(transaction->transaction_key), response};
    self.news_.push_back({ReferGate::Kind::asked, call, ticket, 0, whole(rdata)});
  }

  // Only where a REFER of ours is reported on; anything else is answered by PJSIP.
  static pj_bool_t notify(ReferGate& self, pjsip_dialog* dialog, pjsip_rx_data* rdata) {
    const pjsua_call* call = call_of(dialog);
    if (!call || !dialog->mod_data[hook.id] || !is_about_refer(rdata)) return PJ_FALSE;
    const auto number = rdata->msg_info.cseq->cseq;
    if (number < dialog->remote.cseq) {
      respond(rdata, PJSIP_SC_INTERNAL_SERVER_ERROR);
      return PJ_TRUE;
    }
    if (number > dialog->remote.cseq) {  // else our answer was lost
      dialog->remote.cseq = number;
      self.news_.push_back({ReferGate::Kind::notified, call->index, 0, 0, whole(rdata)});
    }
    respond(rdata, PJSIP_SC_OK);
    return PJ_TRUE;
  }

  // The final answer to a request of ours, or its timeout.
  static void on_answer(void* token, pjsip_event* event) {
    const auto ticket = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(token));
    if (!gate || event->type != PJSIP_EVENT_TSX_STATE) return;
    const auto found = gate->sent_.find(ticket);
    if (found == gate->sent_.end()) return;
    const auto sent = found->second;
    const pjsip_transaction* transaction = event->body.tsx_state.tsx;
    const bool came = event->body.tsx_state.type == PJSIP_EVENT_RX_MSG;
    pjsip_rx_data* rdata = came ? event->body.tsx_state.src.rdata : nullptr;
    const int code = transaction->status_code;
    pjsip_dialog* dialog = dialog_of(sent.call);
    const bool challenged = rdata && (code == PJSIP_SC_UNAUTHORIZED || code == PJSIP_SC_PROXY_AUTHENTICATION_REQUIRED);
    if (challenged && dialog && dialog == sent.dialog && prove(dialog, rdata, transaction->last_tx, token)) return;
    gate->sent_.erase(ticket);
    gate->news_.push_back({ReferGate::Kind::answered, sent.call, ticket, code, rdata ? whole(rdata) : std::string()});
  }

  // Sends the request again with the proof that was asked for; false when there is none to give.
  static bool prove(pjsip_dialog* dialog, pjsip_rx_data* challenge, pjsip_tx_data* last, void* token) {
    pjsip_tx_data* again;
    if (pjsip_auth_clt_reinit_req(&dialog->auth_sess, challenge, last, &again) != PJ_SUCCESS) return false;
    PJSIP_MSG_CSEQ_HDR(again->msg)->cseq = dialog->local.cseq++;
    pjsip_tx_data_invalidate_msg(again);
    pjsip_tx_data_set_transport(again, &dialog->tp_sel);
    return pjsip_endpt_send_request(pjsua_var.endpt, again, -1, token, &on_answer) == PJ_SUCCESS;
  }
};

ReferGate::~ReferGate() {
  if (gate == this) gate = nullptr;
}

void ReferGate::install() {
  if (!pjsua_var.endpt) throw std::runtime_error("install() comes after Endpoint.libInit()");
  hook = {};
  hook.name = pj_str(const_cast<char*>("mod-offhook-refer"));
  hook.id = -1;
  hook.priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 1;  // like the guard, which was registered before
  hook.on_rx_request = &ReferHook::on_rx_request;
  if (pjsip_endpt_register_module(pjsua_var.endpt, &hook) != PJ_SUCCESS)
    throw std::runtime_error("cannot register the REFER gate");
  gate = this;
  open_.clear();  // of an endpoint that is gone
  sent_.clear();
}

bool ReferGate::answer(std::uint32_t ticket, int code) {
  const auto found = open_.find(ticket);
  if (found == open_.end()) return false;
  const Open waiting = std::move(found->second);
  open_.erase(found);
  const pj_str_t key = view(waiting.transaction);
  pjsip_transaction* transaction = pjsip_tsx_layer_find_tsx2(&key, PJ_FALSE);
  if (!transaction) {
    pjsip_tx_data_dec_ref(waiting.response);
    return false;
  }
  waiting.response->msg->line.status.code = code;
  waiting.response->msg->line.status.reason = *pjsip_get_status_text(code);
  return pjsip_tsx_send_msg(transaction, waiting.response) == PJ_SUCCESS;
}

std::uint32_t ReferGate::send(int call, const Request& request) {
  pjsip_dialog* dialog = dialog_of(call);
  if (!dialog) throw std::runtime_error("the call has no dialog");
  pjsip_method method;
  const pj_str_t name = view(request.method);
  pjsip_method_init_np(&method, const_cast<pj_str_t*>(&name));
  pjsip_tx_data* tdata;
  pjsip_dlg_inc_lock(dialog);
  const auto made = pjsip_dlg_create_request(dialog, &method, static_cast<int>(dialog->local.cseq), &tdata);
  if (made == PJ_SUCCESS) {
    PJSIP_MSG_CSEQ_HDR(tdata->msg)->cseq = dialog->local.cseq++;
    if (request.method == "REFER") dialog->mod_data[hook.id] = this;  // its NOTIFYs are ours
    pjsip_tx_data_set_transport(tdata, &dialog->tp_sel);
    tdata->via_addr = dialog->via_addr;
    tdata->via_tp = dialog->via_tp;
  }
  pjsip_dlg_dec_lock(dialog);
  if (made != PJ_SUCCESS) throw std::runtime_error("cannot create the request");
  pj_strdup_with_null(tdata->pool, &tdata->msg->line.req.method.name, &name);  // `name` is not ours to keep
  PJSIP_MSG_CSEQ_HDR(tdata->msg)->method.name = tdata->msg->line.req.method.name;
  for (const auto& [key, value] : request.headers) {
    const pj_str_t header = view(key), content = view(value);
    pjsip_msg_add_hdr(tdata->msg, reinterpret_cast<pjsip_hdr*>(
                                      pjsip_generic_string_hdr_create(tdata->pool, &header, &content)));
  }
  if (!request.body.empty()) {
    const auto slash = request.content_type.find('/');
    const std::string kind = request.content_type.substr(0, slash), detail = request.content_type.substr(slash + 1);
    const pj_str_t type = view(kind), subtype = view(detail), content = view(request.body);
    tdata->msg->body = pjsip_msg_body_create(tdata->pool, &type, &subtype, &content);
  }
  const auto ticket = next_++;
  sent_[ticket] = {call, dialog};
  void* token = reinterpret_cast<void*>(static_cast<std::uintptr_t>(ticket));
  if (pjsip_endpt_send_request(pjsua_var.endpt, tdata, -1, token, &ReferHook::on_answer) != PJ_SUCCESS) {
    sent_.erase(ticket);
    throw std::runtime_error("cannot send the request");
  }
  return ticket;
}

DialogName ReferGate::dialog(int call) {
  const pjsip_dialog* dialog = dialog_of(call);
  if (!dialog) throw std::runtime_error("the call has no dialog");
  char uri[PJSIP_MAX_URL_SIZE];
  const int size = pjsip_uri_print(PJSIP_URI_IN_REQ_URI, dialog->target, uri, sizeof uri);
  return {text(dialog->call_id->id), text(dialog->local.info->tag), text(dialog->remote.info->tag),
          std::string(uri, static_cast<std::size_t>(std::max(0, size)))};
}

}  // namespace framebus
