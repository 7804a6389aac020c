// What happened on any leg, from any thread to events(): a bounded queue after Dmitry Vyukov's
// (each cell carries the turn at which it may be written or read).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace framebus {

enum class EventKind : int { started, drained, mark, cleared, underrun, attached, detached };

struct Event {
  std::int64_t leg;
  EventKind kind;
  std::int64_t reply;
  std::int64_t value;
  std::int64_t t_ns;
};

class EventRing {
 public:
  explicit EventRing(std::size_t capacity) : capacity_(capacity), cells_(new Cell[capacity]) {
    for (std::size_t i = 0; i < capacity; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  // Any thread; never blocks. False, and counted, when the reader has fallen a whole ring behind.
  bool push(const Event& event) noexcept {
    auto at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[at % capacity_];
      const auto turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at) {
        if (!tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        cell.event = event;
        cell.turn.store(at + 1, std::memory_order_release);
        return true;
      }
      if (turn < at) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
      at = tail_.load(std::memory_order_relaxed);
    }
  }

  // One reader.
  bool pop(Event& event) noexcept {
    Cell& cell = cells_[head_ % capacity_];
    if (cell.turn.load(std::memory_order_acquire) != head_ + 1) return false;
    event = cell.event;
    cell.turn.store(head_ + capacity_, std::memory_order_release);
    ++head_;
    return true;
  }

  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Cell {
    std::atomic<std::size_t> turn;
    Event event;
  };
  const std::size_t capacity_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::size_t head_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace framebus
