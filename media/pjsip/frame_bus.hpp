// All legs of the process, seen from three sides: the API (Python), the clock thread, and PJSIP's
// threads that create and destroy streams. Knows nothing of PJSIP.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hearing_pace.hpp"
#include "leg.hpp"

namespace framebus {

std::int64_t monotonic_ns() noexcept;

// Upper bounds of the tick histogram's classes; a last class takes the rest.
constexpr std::array<std::int64_t, 11> kTickBoundsUs{50,   100,  200,   500,   1000, 2000,
                                                     5000, 10000, 20000, 50000, 100000};
using Figures = std::vector<std::pair<std::string, std::uint64_t>>;

class FrameBus {
 public:
  FrameBus(int max_legs, double rx_seconds, double playout_seconds);
  ~FrameBus();
  FrameBus(const FrameBus&) = delete;
  FrameBus& operator=(const FrameBus&) = delete;

  // --- API: any thread, one at a time; the mutex is never taken by the clock or an RTP thread ---

  int fileno() const noexcept { return event_fd_; }
  std::int32_t open();
  void close(std::int32_t handle);
  void bind(std::int32_t handle, int call_id);
  int sample_rate(std::int32_t handle);
  std::size_t poll(std::int16_t* pcm, FrameMeta* meta, std::size_t rows);
  std::uint64_t write(std::int32_t handle, std::span<const std::int16_t> pcm, std::int64_t reply);
  void mark(std::int32_t handle, std::int64_t mark);
  bool finish(std::int32_t handle);
  Heard clear(std::int32_t handle, std::int64_t through);
  Heard position(std::int32_t handle);
  void duck(std::int32_t handle, double gain, int ramp_ms);
  // Connects two legs both ways, within the clock; each leaves whom it was patched to before.
  void patch(std::int32_t one, std::int32_t other);
  void unpatch(std::int32_t handle);
  std::vector<Event> events();
  Figures stats(std::int32_t handle);
  Figures totals();
  std::array<std::array<std::uint64_t, kTickBoundsUs.size() + 1>, 2> tick_histogram() const;

  // --- PJSIP's signalling threads -------------------------------------------------------------

  // The leg that this call's streams belong to, or nothing.
  std::shared_ptr<Leg> leg_of_call(int call_id);
  // A stream begins to act for the leg; `port` identifies it. False if another one already does.
  bool attach(Leg& leg, const void* port, int rate, std::shared_ptr<Wire> wire);
  // Lock-free, because the last reference to a port may fall in the clock thread.
  void detach(Leg& leg, const void* port) noexcept;

  // --- clock thread ---------------------------------------------------------------------------

  void tick_begin() noexcept;
  void tick_end() noexcept;
  void after_heard() noexcept { readable_ = true; }
  void after_spoken(Leg& leg, std::int64_t sent_ns) noexcept { readable_ |= leg.report(events_, sent_ns); }

  // --- tests: stands in for one stream's 20 ms without PJSIP ----------------------------------

  std::vector<std::int16_t> simulate_tick(std::int32_t handle, std::span<const std::int16_t> pcm, int rate,
                                          std::int64_t arrived_ns, std::uint32_t flags);

 private:
  struct Slot {
    std::shared_ptr<Leg> leg;
    std::uint16_t generation = 0;
  };

  Leg& find(std::int32_t handle);
  static void separate(Leg& leg) noexcept;
  void say_cleared(const Leg& leg, const Cleared& cleared);
  Figures figures(const Leg& leg) const;
  void sweep();
  void signal() noexcept;

  const double rx_seconds_;
  const double playout_seconds_;
  const int event_fd_;
  EventRing events_;

  std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;
  std::vector<std::shared_ptr<Leg>> open_;
  std::vector<std::shared_ptr<Leg>> retired_;  // closed, but a port may still hold them
  std::unordered_map<int, std::int32_t> calls_;
  std::vector<std::uint64_t> sums_;            // figures of all legs that are gone
  std::size_t next_leg_ = 0;                   // where the next poll starts

  Counter ticks_{0}, tick_overruns_{0};
  std::array<std::array<Counter, kTickBoundsUs.size() + 1>, 2> histogram_{};
  std::int64_t tick_due_ns_ = 0;
  std::int64_t tick_began_ns_ = 0;
  bool readable_ = false;
};

}  // namespace framebus
