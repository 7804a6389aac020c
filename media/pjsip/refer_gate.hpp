// REFER and the NOTIFYs about it, kept away from pjsua: it would call whatever number a REFER names, and end a
// call whose REFER is not answered.
//
// A REFER that comes keeps its transaction, which absorbs retransmissions, until somebody has decided. One that we
// send runs beside the dialog's usages: its failure is not the call's. Everything here happens on the SIP thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

struct pjsip_tx_data;

namespace framebus {

// What names a dialog from outside (RFC 3891), and where its far end is reached.
struct DialogName {
  std::string call_id, local_tag, remote_tag, target;
};

struct Request {
  std::string method;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type, body;
};

class ReferGate {
 public:
  enum class Kind { asked, notified, answered };

  struct News {
    Kind kind;
    int call;               // pjsua's number
    std::uint32_t ticket;   // of what was asked, or sent; 0 for a NOTIFY
    int code;               // of an answer; 408 when none came
    std::string message;    // as it came; empty when none did
  };

  ReferGate() = default;
  ~ReferGate();
  ReferGate(const ReferGate&) = delete;
  ReferGate& operator=(const ReferGate&) = delete;

  // Registers with PJSIP, behind the guard. After pjsua_init(). Throws std::runtime_error.
  void install();

  // What happened since the last call. Each `asked` wants its answer().
  std::vector<News> news() { return std::exchange(news_, {}); }

  // The final answer. False when the ticket is unknown or its transaction is gone.
  bool answer(std::uint32_t ticket, int code);

  // Sends a request within a call's dialog; `answered` follows. Returns its ticket. Throws std::runtime_error.
  std::uint32_t send(int call, const Request& request);

  // Throws std::runtime_error for a call that has no dialog.
  static DialogName dialog(int call);

 private:
  static constexpr std::size_t kMostOpen = 1024;

  struct Open {
    std::string transaction;  // its key
    pjsip_tx_data* response;
  };
  struct Sent {
    int call;
    const void* dialog;
  };
  friend struct ReferHook;

  std::uint32_t next_ = 1;
  std::map<std::uint32_t, Open> open_;
  std::map<std::uint32_t, Sent> sent_;
  std::vector<News> news_;
};

}  // namespace framebus
