#include "frame_bus.hpp"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace framebus {

namespace {

constexpr std::int64_t kTickNs = 1'000'000'000 / kBeatsPerSecond;
constexpr int kIndexBits = 16;  // a handle is generation << 16 | index
constexpr std::uint16_t kGenerations = 0x7fff;

// A clock that stood still this long (a suspended machine, a debugger) starts a new schedule.
constexpr std::int64_t kScheduleLostNs = 100 * kTickNs;

int make_event_fd() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

std::size_t tick_class(std::int64_t ns) noexcept {
  const auto us = ns / 1000;
  return static_cast<std::size_t>(std::lower_bound(kTickBoundsUs.begin(), kTickBoundsUs.end(), us) -
                                  kTickBoundsUs.begin());
}

std::array<std::uint64_t, kWireCounts> wire_counts(const Wire& wire) {
  return {wire.rx_packets, wire.rx_garbage, wire.rx_wrong_pt, wire.rx_comfort_noise,
          // the first SSRC is none that changed
          wire.rx_ssrc_changes - std::min<std::uint64_t>(wire.rx_ssrc_changes, 1), wire.late, wire.tx_packets,
          wire.rx_foreign};
}

constexpr std::array<const char*, kWireCounts> kWireNames = {"rx_packets",      "rx_garbage", "rx_wrong_pt", "rx_comfort_noise",
                                      "rx_ssrc_changes", "late",       "tx_packets",  "rx_foreign"};

}  // namespace

std::int64_t monotonic_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

FrameBus::FrameBus(int max_legs, double rx_seconds, double playout_seconds)
    : rx_seconds_(rx_seconds),
      playout_seconds_(playout_seconds),
      event_fd_(make_event_fd()),
      events_(static_cast<std::size_t>(std::max(max_legs, 64)) * 16) {
  slots_.resize(static_cast<std::size_t>(max_legs));
  for (int i = max_legs; i-- > 0;) free_.push_back(static_cast<std::uint16_t>(i));
}

FrameBus::~FrameBus() {
  for (const auto& leg : open_) separate(*leg);  // two that hold each other would never go
  ::close(event_fd_);
}

std::int32_t FrameBus::open() {
  std::lock_guard lock(mutex_);
  sweep();
  if (free_.empty()) throw std::runtime_error("all " + std::to_string(slots_.size()) + " legs are open");
  const auto index = free_.back();
  Slot& slot = slots_[index];
  const auto generation = static_cast<std::uint16_t>(slot.generation % kGenerations + 1);
  auto leg = std::make_shared<Leg>(generation << kIndexBits | index, rx_seconds_, playout_seconds_);
  open_.push_back(leg);
  free_.pop_back();
  slot = {leg, generation};
  return leg->handle;
}

void FrameBus::close(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  separate(find(handle));
  const auto index = static_cast<std::uint16_t>(handle);
  auto leg = std::move(slots_[index].leg);
  leg->port.store(nullptr, std::memory_order_release);
  std::erase(open_, leg);
  std::erase_if(calls_, [&](const auto& call) { return call.second == handle; });
  // The slot returns at the end of the line, so that a stale handle meets a stranger as late as
  // possible; the generation tells them apart in any case.
  free_.insert(free_.begin(), index);
  retired_.push_back(std::move(leg));
  sweep();
}

void FrameBus::bind(std::int32_t handle, int call_id) {
  std::lock_guard lock(mutex_);
  find(handle);
  calls_[call_id] = handle;
}

int FrameBus::sample_rate(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  return find(handle).rate;
}

std::size_t FrameBus::poll(std::int16_t* pcm, FrameMeta* meta, std::size_t rows) {
  std::lock_guard lock(mutex_);
  std::uint64_t ticks;
  [[maybe_unused]] auto read = ::read(event_fd_, &ticks, sizeof ticks);
  std::size_t taken = 0;
  const auto legs = open_.size();
  for (std::size_t i = 0; i < legs && taken < rows; ++i) {
    // Start where the last call stopped: a short array must not starve the legs behind.
    Leg& leg = *open_[(next_leg_ + i) % legs];
    while (taken < rows) {
      const Frame* frame = leg.rx.front();
      if (!frame) break;
      meta[taken] = frame->meta;
      meta[taken].leg = leg.handle;
      std::memcpy(pcm + taken * kMaxFrameSamples, frame->pcm, sizeof frame->pcm);
      ++taken;
      leg.rx.pop();
    }
    if (taken == rows) next_leg_ = (next_leg_ + i) % legs;
  }
  if (taken == rows && rows > 0 && std::any_of(open_.begin(), open_.end(), [](auto& leg) { return !leg->rx.empty(); }))
    signal();
  return taken;
}

std::uint64_t FrameBus::write(std::int32_t handle, std::span<const std::int16_t> pcm, std::int64_t reply) {
  std::lock_guard lock(mutex_);
  return find(handle).playout.write(pcm.data(), pcm.size(), reply);
}

void FrameBus::mark(std::int32_t handle, std::int64_t mark) {
  std::lock_guard lock(mutex_);
  if (!find(handle).playout.mark(mark)) throw std::runtime_error("too many marks are pending on this leg");
}

bool FrameBus::finish(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  return find(handle).playout.finish();
}

Heard FrameBus::clear(std::int32_t handle, std::int64_t through) {
  std::lock_guard lock(mutex_);
  Leg& leg = find(handle);
  const auto cleared = leg.playout.clear(through);
  say_cleared(leg, cleared);
  return cleared.heard;
}

Heard FrameBus::position(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  return find(handle).playout.heard();
}

void FrameBus::duck(std::int32_t handle, double gain, int ramp_ms) {
  std::lock_guard lock(mutex_);
  find(handle).ducker.set(gain, ramp_ms);
}

void FrameBus::patch(std::int32_t one, std::int32_t other) {
  std::lock_guard lock(mutex_);
  if (one == other) throw std::invalid_argument("a leg cannot be patched to itself");
  separate(find(one));
  separate(find(other));
  const auto& a = slots_[static_cast<std::uint16_t>(one)].leg;
  const auto& b = slots_[static_cast<std::uint16_t>(other)].leg;
  a->hand_to(b);
  b->hand_to(a);
}

void FrameBus::unpatch(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  separate(find(handle));
}

void FrameBus::separate(Leg& leg) noexcept {
  const auto other = leg.patched;
  leg.hand_to_nobody();
  if (other) other->hand_to_nobody();
}

std::vector<Event> FrameBus::events() {
  std::lock_guard lock(mutex_);
  std::vector<Event> taken;
  for (Event event; events_.pop(event);) taken.push_back(event);
  return taken;
}

Figures FrameBus::stats(std::int32_t handle) {
  std::lock_guard lock(mutex_);
  return figures(find(handle));
}

Figures FrameBus::totals() {
  std::lock_guard lock(mutex_);
  sweep();
  static const Leg none(0, 0, 0);
  Figures sum = figures(none);
  sums_.resize(sum.size());
  const auto add = [&](const Leg& leg) {
    const auto part = figures(leg);
    for (std::size_t i = 0; i < part.size(); ++i) sum[i].second += part[i].second;
  };
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i].second = sums_[i];
  for (const auto& leg : open_) add(*leg);
  for (const auto& leg : retired_) add(*leg);
  // A level is not a sum: these say nothing over many legs.
  std::erase_if(sum, [](const auto& figure) {
    return figure.first == "jb_frames" || figure.first == "jb_prefetch" || figure.first == "jb_delay_ms" ||
           figure.first == "jb_delay_max_ms" || figure.first == "jb_burst" || figure.first == "sample_rate";
  });
  sum.insert(sum.end(), {{"open", open_.size()},
                         {"ticks", ticks_},
                         {"tick_overruns", tick_overruns_},
                         {"events_dropped", events_.dropped()}});
  return sum;
}

Figures FrameBus::figures(const Leg& leg) const {
  Figures out;
  auto wire = leg.past_wire;
  if (leg.wire) {
    const auto now = wire_counts(*leg.wire);
    for (std::size_t i = 0; i < wire.size(); ++i) wire[i] += now[i];
  }
  for (std::size_t i = 0; i < wire.size(); ++i) out.emplace_back(kWireNames[i], wire[i]);
  const auto rate = static_cast<std::uint64_t>(leg.rate.load());
  out.insert(out.end(), {{"frames", leg.frames},
                         {"lost", leg.lost},
                         {"dtx", leg.dtx},
                         {"dropped", leg.dropped},
                         {"underrun", leg.underrun},
                         {"played_samples", leg.played_samples},
                         {"queued_samples", leg.playout.queued()},
                         {"stale", leg.playout.stale()},
                         {"patch_samples", leg.through.samples},
                         {"patch_gaps", leg.through.gaps},
                         {"patch_dropped", leg.through.dropped},
                         {"sample_rate", rate},
                         {"jb_frames", leg.jitter.frames},
                         {"jb_prefetch", leg.jitter.prefetch},
                         {"jb_delay_ms", leg.jitter.delay_ms},
                         {"jb_delay_max_ms", leg.jitter.delay_max_ms},
                         {"jb_burst", leg.jitter.burst},
                         {"jb_lost", leg.jitter.lost},
                         {"jb_discarded", leg.jitter.discarded},
                         {"jb_empty", leg.jitter.empty}});
  return out;
}

std::array<std::array<std::uint64_t, kTickBoundsUs.size() + 1>, 2> FrameBus::tick_histogram() const {
  std::array<std::array<std::uint64_t, kTickBoundsUs.size() + 1>, 2> copy;
  for (std::size_t row = 0; row < copy.size(); ++row)
    for (std::size_t i = 0; i < copy[row].size(); ++i) copy[row][i] = histogram_[row][i];
  return copy;
}

std::shared_ptr<Leg> FrameBus::leg_of_call(int call_id) {
  std::lock_guard lock(mutex_);
  const auto call = calls_.find(call_id);
  return call == calls_.end() ? nullptr : slots_[static_cast<std::uint16_t>(call->second)].leg;
}

bool FrameBus::attach(Leg& leg, const void* port, int rate, std::shared_ptr<Wire> wire) {
  std::lock_guard lock(mutex_);
  const void* none = nullptr;
  if (!leg.port.compare_exchange_strong(none, port, std::memory_order_acq_rel)) return false;
  if (leg.wire && leg.wire != wire) {
    const auto past = wire_counts(*leg.wire);
    for (std::size_t i = 0; i < past.size(); ++i) leg.past_wire[i] += past[i];
  }
  leg.wire = std::move(wire);
  const int before = leg.rate.exchange(rate);
  // What waits at the old rate would sound at the wrong pitch.
  if (before != 0 && before != rate) {
    say_cleared(leg, leg.playout.clear(INT64_MIN));
    leg.through.flush();
  }
  events_.push({leg.handle, EventKind::attached, 0, rate, monotonic_ns()});
  signal();
  return true;
}

void FrameBus::detach(Leg& leg, const void* port) noexcept {
  if (!leg.port.compare_exchange_strong(port, nullptr, std::memory_order_acq_rel)) return;
  events_.push({leg.handle, EventKind::detached, 0, 0, monotonic_ns()});
  signal();
}

void FrameBus::tick_begin() noexcept {
  const auto now = monotonic_ns();
  if (tick_due_ns_ == 0 || std::abs(now - tick_due_ns_) > kScheduleLostNs) tick_due_ns_ = now;
  // An early tick means that the schedule itself was late when we first saw it.
  tick_due_ns_ = std::min(tick_due_ns_, now);
  count(histogram_[0][tick_class(now - tick_due_ns_)]);
  tick_due_ns_ += kTickNs;
  tick_began_ns_ = now;
}

void FrameBus::tick_end() noexcept {
  const auto took = monotonic_ns() - tick_began_ns_;
  count(histogram_[1][tick_class(took)]);
  count(ticks_);
  if (took > kTickNs) count(tick_overruns_);
  if (std::exchange(readable_, false)) signal();
}

std::vector<std::int16_t> FrameBus::simulate_tick(std::int32_t handle, std::span<const std::int16_t> pcm,
                                                  int rate, std::int64_t arrived_ns, std::uint32_t flags) {
  std::shared_ptr<Leg> leg;
  {
    std::lock_guard lock(mutex_);
    find(handle);
    leg = slots_[static_cast<std::uint16_t>(handle)].leg;
  }
  if (leg->rate != rate) {
    detach(*leg, this);
    attach(*leg, this, rate, nullptr);
  }
  tick_begin();
  std::vector<std::int16_t> out(static_cast<std::size_t>(rate / kFramesPerSecond));
  leg->hear(pcm.data(), static_cast<unsigned>(pcm.size()), rate, arrived_ns, flags);
  leg->speak(out.data(), static_cast<unsigned>(out.size()), rate);
  after_heard();
  after_spoken(*leg, monotonic_ns());
  tick_end();
  return out;
}

Leg& FrameBus::find(std::int32_t handle) {
  const auto index = static_cast<std::size_t>(handle & ((1 << kIndexBits) - 1));
  if (handle < 0 || index >= slots_.size() || !slots_[index].leg || slots_[index].leg->handle != handle)
    throw std::invalid_argument("leg " + std::to_string(handle) + " is not open");
  return *slots_[index].leg;
}

void FrameBus::say_cleared(const Leg& leg, const Cleared& cleared) {
  for (const auto& [reply, mark] : cleared.marks)
    events_.push({leg.handle, EventKind::cleared, reply, mark, monotonic_ns()});
  if (!cleared.marks.empty()) signal();
}

// Lets go of closed legs that no port holds any more, so that their memory is always given back
// by an API thread and never by the clock.
void FrameBus::sweep() {
  std::erase_if(retired_, [&](const std::shared_ptr<Leg>& leg) {
    if (leg.use_count() > 1) return false;
    const auto part = figures(*leg);
    sums_.resize(part.size());
    for (std::size_t i = 0; i < part.size(); ++i) sums_[i] += part[i].second;
    return true;
  });
}

void FrameBus::signal() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] auto written = ::write(event_fd_, &one, sizeof one);
}

}  // namespace framebus
