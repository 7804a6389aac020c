// Races the frame bus's pure C++ parts against each other and checks the books afterwards.
// Built and run under sanitizers by test_native_races.py. Usage: stress PART SECONDS SEED
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "frame_bus.hpp"

using namespace framebus;
using Clock = std::chrono::steady_clock;

#define CHECK(condition, ...)                                            \
  do {                                                                   \
    if (!(condition)) {                                                  \
      std::fprintf(stderr, "%s:%d: %s\n  ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                 \
      std::fputc('\n', stderr);                                          \
      std::exit(1);                                                      \
    }                                                                    \
  } while (0)

namespace {

std::vector<std::int16_t> serial(std::uint64_t from, std::uint64_t samples) {
  std::vector<std::int16_t> pcm(samples);
  for (std::uint64_t i = 0; i < samples; ++i) pcm[i] = static_cast<std::int16_t>(from + i);
  return pcm;
}

struct Reply {
  std::uint64_t first = 0, accepted = 0, heard = 0;
  bool finished = false, cleared = false;
};

// One writer that writes, marks, finishes and clears at random; one player. Afterwards every
// sample must have been sent or discarded, exactly as clear() said, and every mark reported once.
void playout(double seconds, unsigned seed) {
  PlayoutQueue queue(40'000);  // small, so that it wraps and runs full
  std::atomic<bool> done{false};
  std::vector<std::int16_t> sent;
  std::map<std::int64_t, Reply> replies;
  std::map<std::int64_t, int> marks_passed, marks_cleared;
  std::map<std::int64_t, std::int64_t> started, drained;

  std::thread player([&] {
    std::mt19937 random(seed + 1);
    std::int16_t frame[480];
    for (bool last = false; !last;) {
      last = done.load();
      const unsigned samples = 80u << random() % 3;
      const unsigned got = queue.play(frame, samples);
      sent.insert(sent.end(), frame, frame + got);
      queue.settle(
          [&](Cue cue, std::int64_t reply, std::int64_t value) {
            if (cue == Cue::begin) ++started[reply];
            if (cue == Cue::finish) drained[reply] = value;
            if (cue == Cue::mark) ++marks_passed[value];
          },
          [](std::int64_t, std::int64_t) {});
      if (got == samples) last = false;
      if (random() % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
    }
  });

  std::mt19937 random(seed);
  std::int64_t reply = 1, mark = 0;
  std::uint64_t accepted = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    const auto dice = random() % 100;
    if (dice < 70) {
      const auto pcm = serial(accepted, random() % 3000 + 1);
      const auto took = queue.write(pcm.data(), pcm.size(), reply);
      Reply& now = replies[reply];
      if (now.accepted == 0) now.first = accepted;
      now.accepted += took;
      accepted += took;
      if (took == 0) std::this_thread::yield();
    } else if (dice < 85) {
      if (queue.mark(mark)) ++mark;
    } else if (dice < 93) {
      if (queue.finish()) replies[reply].finished = true;
      ++reply;
    } else {
      const auto cleared = queue.clear(INT64_MIN);
      for (const auto& [of, number] : cleared.marks) ++marks_cleared[number];
      if (auto found = replies.find(cleared.heard.reply); found != replies.end()) {
        found->second.cleared = true;
        found->second.heard = static_cast<std::uint64_t>(cleared.heard.samples);
        for (auto later = std::next(found); later != replies.end(); ++later) later->second.cleared = true;
      }
      if (replies.count(reply) && replies[reply].accepted > 0)
        CHECK(queue.write(serial(0, 10).data(), 10, reply) == 0, "reply %ld sounds after its clear()", reply);
      ++reply;
    }
  }
  queue.finish();
  done = true;
  player.join();

  std::uint64_t at = 0;
  for (auto& [number, now] : replies) {
    const auto expected = now.cleared ? now.heard : now.accepted;
    for (std::uint64_t i = 0; i < expected; ++i, ++at) {
      CHECK(at < sent.size(), "reply %ld: %lu samples were promised, the stream ends after %lu", number, expected, i);
      CHECK(sent[at] == static_cast<std::int16_t>(now.first + i), "reply %ld: sample %lu is not its own", number, i);
    }
    CHECK(started[number] == (expected > 0), "reply %ld started %ld times", number, started[number]);
    const auto end = drained.find(number);
    if (now.finished && !now.cleared) CHECK(end != drained.end(), "reply %ld never drained", number);
    if (end != drained.end())
      CHECK(end->second == static_cast<std::int64_t>(now.accepted), "reply %ld drained after %ld of %lu samples", number,
            end->second, now.accepted);
  }
  CHECK(at == sent.size(), "%lu samples were sent that belong to no reply", sent.size() - at);
  for (std::int64_t number = 0; number < mark; ++number)
    CHECK(marks_passed[number] + marks_cleared[number] == 1, "mark %ld: passed %d times, cleared %d times", number,
          marks_passed[number], marks_cleared[number]);
  std::printf("playout: %zu replies, %zu samples sent, %ld marks\n", replies.size(), sent.size(), mark);
}

// Packets of any size in, whole frames out; what finds no room is counted.
void receive(double seconds, unsigned seed) {
  RxRing ring(0.5);
  std::atomic<bool> done{false};
  std::uint64_t heard = 0, dropped = 0, taken = 0;

  std::thread reader([&] {
    std::mt19937 random(seed + 1);
    std::int64_t last = -1;
    for (bool stop = false; !stop;) {
      stop = done.load();
      while (const Frame* frame = ring.front()) {
        CHECK(frame->meta.samples == 160, "a frame of %d samples", frame->meta.samples);
        CHECK(frame->meta.pts > last && frame->meta.pts % 160 == 0, "pts %ld after %ld", frame->meta.pts, last);
        for (int i = 0; i < 160; ++i)
          CHECK(frame->pcm[i] == static_cast<std::int16_t>(frame->meta.pts + i), "foreign sample in frame");
        last = frame->meta.pts;
        ring.pop();
        ++taken;
      }
      if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    }
  });

  std::mt19937 random(seed);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    const unsigned samples = 80 * (random() % 6 + 1);
    const auto pcm = serial(heard, samples);
    dropped += ring.put(pcm.data(), samples, 8000, 0, 0);
    heard += samples;
    if (random() % 16 == 0) std::this_thread::yield();
  }
  done = true;
  reader.join();
  while (ring.front()) ring.pop(), ++taken;
  CHECK(taken + dropped == heard / 160, "%lu + %lu frames of %lu", taken, dropped, heard / 160);
  std::printf("receive: %lu frames, %lu dropped\n", taken, dropped);
}

// Many threads report, one reads; nothing is lost unseen and each thread's order is kept.
void report(double seconds, unsigned) {
  EventRing ring(256);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> pushed{0};
  std::vector<std::thread> producers;
  for (int leg = 0; leg < 3; ++leg)
    producers.emplace_back([&, leg] {
      for (std::int64_t i = 0; !stop;) {
        if (ring.push({leg, EventKind::mark, 0, i, 0}))
          ++i, ++pushed;
        else
          std::this_thread::yield();
      }
    });
  std::uint64_t read = 0;
  std::int64_t last[3] = {-1, -1, -1};
  const auto drain = [&] {
    for (Event event; ring.pop(event); ++read) {
      CHECK(event.value == last[event.leg] + 1, "event %ld after %ld", event.value, last[event.leg]);
      last[event.leg] = event.value;
    }
  };
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) drain();
  stop = true;
  for (auto& producer : producers) producer.join();
  drain();
  CHECK(read == pushed, "%lu of %lu events", read, pushed.load());
  std::printf("report: %lu events, %lu refused\n", read, ring.dropped());
}

// One direction of a patch: packets of one size in, of another out, and each sample at most once and in order.
void through(double seconds, unsigned seed) {
  Through through;
  through.open();
  std::atomic<bool> done{false};
  std::uint64_t heard = 0, taken = 0;
  std::thread consumer([&] {
    std::mt19937 random(seed + 1);
    std::int16_t packet[480];
    std::uint64_t next = 0;
    while (!done) {
      const unsigned wanted = 80 * (random() % 6 + 1);
      if (!through.take(packet, wanted)) {
        std::this_thread::yield();
        continue;
      }
      const auto skipped = static_cast<std::uint16_t>(static_cast<std::uint16_t>(packet[0]) - next);
      CHECK(skipped < 0x8000, "sample %d after %lu", packet[0], next);
      next += skipped;
      for (unsigned i = 0; i < wanted; ++i, ++next)
        CHECK(packet[i] == static_cast<std::int16_t>(next), "foreign sample %d at %lu", packet[i], next);
      taken += wanted;
    }
  });
  std::mt19937 random(seed);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    const unsigned size = 80 * (random() % 6 + 1);
    if (through.ahead() > 4000) {  // never so far ahead that the ring is full, often so that the consumer skips
      std::this_thread::yield();
      continue;
    }
    through.put(serial(heard, size).data(), size, 8000, 8000);
    heard += size;
    if (random() % 4096 == 0) through.flush();
  }
  done = true;
  consumer.join();
  CHECK(taken == through.samples, "%lu of %lu samples", taken, through.samples.load());
  CHECK(taken > 0 && taken + through.dropped <= heard, "%lu + %lu of %lu", taken, through.dropped.load(), heard);
  std::printf("through: %lu of %lu samples, %lu dropped\n", taken, heard, through.dropped.load());
}

// The whole bus: legs come and go while the clock ticks and others poll, write and clear.
void bus(double seconds, unsigned seed) {
  FrameBus bus(64, 0.5, 4.0);
  std::mutex mutex;
  std::vector<std::int32_t> legs;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> refused{0};
  const auto any = [&](std::mt19937& random) {
    std::lock_guard lock(mutex);
    return legs.empty() ? -1 : legs[random() % legs.size()];
  };

  std::thread clock([&] {
    std::mt19937 random(seed + 1);
    const auto pcm = serial(0, 320);
    while (!stop) {
      try {
        const int rate = random() % 8 ? 8000 : 16000;  // now and then a codec changes
        bus.simulate_tick(any(random), std::span(pcm).first(static_cast<std::size_t>(rate / 50)), rate, 1, 0);
      } catch (const std::invalid_argument&) {
        ++refused;
      }
    }
  });
  std::thread reader([&] {
    std::vector<std::int16_t> pcm(32 * kMaxFrameSamples);
    std::vector<FrameMeta> meta(32);
    while (!stop) {
      const auto rows = bus.poll(pcm.data(), meta.data(), meta.size());
      for (std::size_t i = 0; i < rows; ++i) CHECK(meta[i].leg > 0, "a frame of leg %d", meta[i].leg);
      bus.events();
      bus.totals();
    }
  });
  std::mt19937 random(seed);
  const auto pcm = serial(0, 1600);
  std::int64_t reply = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    const auto dice = random() % 100;
    const auto leg = any(random);
    if (leg < 0 || dice < 3) {
      std::lock_guard lock(mutex);
      if (legs.size() < 32) legs.push_back(bus.open());
    } else if (dice < 5) {
      std::lock_guard lock(mutex);
      std::erase(legs, leg);
      bus.close(leg);
    } else if (dice < 60) {
      bus.write(leg, pcm, ++reply / 8);
    } else if (dice < 70) {
      bus.clear(leg, INT64_MIN);
    } else if (dice < 80) {
      bus.finish(leg);
    } else if (dice < 85) {
      bus.duck(leg, 0.3, 50);
    } else if (dice < 90) {
      const auto other = any(random);
      std::lock_guard lock(mutex);
      const auto open = [&](std::int32_t one) { return std::find(legs.begin(), legs.end(), one) != legs.end(); };
      if (!open(leg) || !open(other) || leg == other) continue;
      if (dice < 88)
        bus.patch(leg, other);
      else
        bus.unpatch(leg);
    } else {
      bus.position(leg);
      bus.stats(leg);
    }
  }
  stop = true;
  clock.join();
  reader.join();
  std::printf("bus: %lu replies, %lu calls met a closed leg\n", static_cast<unsigned long>(reply), refused.load());
}

// Who may be heard, by the clock; then one thread reads packets while another agrees on addresses.
void source(double seconds, unsigned seed) {
  const auto at = [](std::uint8_t host, std::uint16_t port) {
    const std::uint8_t address[4]{192, 0, 2, host};
    return Source::of(address, 4, port);
  };
  constexpr std::int64_t ms = 1'000'000;
  const auto peer = at(1, 4000), nat = at(1, 9999), thief = at(7, 4000), other = at(8, 1);
  {  // the peer that SDP names is heard at once, and nobody else beside or after it
    SourceLock lock;
    lock.expect(peer);
    CHECK(lock.admits(peer, 0), "the named peer was not heard");
    for (int i = 1; i < 1000; ++i) CHECK(!lock.admits(thief, i * ms), "a thief was heard at %d ms", i);
    CHECK(!lock.admits(thief, 60'000 * ms), "another host took a silent call over");
    CHECK(!lock.admits(nat, 4'999 * ms), "a new port of the same host came too early");
    CHECK(lock.admits(nat, 5'001 * ms), "a peer whose port changed is lost");
    CHECK(lock.admits(peer, 5'002 * ms), "the named peer did not come back");
  }
  {  // a peer behind NAT is heard from its first packet, and one stray packet does not shut it out
    SourceLock lock;
    lock.expect(at(200, 9));
    CHECK(lock.admits(thief, 0), "the first source was not heard");
    CHECK(!lock.admits(nat, 20 * ms), "two sources were heard at once");
    for (int i = 0; i < 20; ++i) CHECK(lock.admits(nat, (101 + 20 * i) * ms), "a peer behind NAT was not heard");
    CHECK(!lock.admits(thief, 700 * ms), "a thief displaced a firm source");
    CHECK(lock.admits(at(200, 9), 701 * ms), "the named peer did not win");
    lock.expect(at(200, 9));
    CHECK(!lock.admits(nat, 702 * ms), "the same SDP again freed the lock");
    lock.expect(other);
    CHECK(lock.admits(nat, 703 * ms), "a new SDP did not free the lock");
  }
  const std::uint8_t six[16]{0x20, 1, 0xd, 0xb8};
  CHECK(!(Source::of(six, 16, 1) == Source::of(six, 16, 2)), "IPv6 ports are not told apart");
  CHECK(Source::of(six, 16, 1).same_host(Source::of(six, 16, 2)), "an IPv6 host is not known again");

  SourceLock lock;
  std::atomic<bool> stop{false};
  std::thread signalling([&] {
    std::mt19937 random(seed);
    while (!stop) lock.expect(at(random() % 3, 1));
  });
  std::uint64_t heard = 0, read = 0;
  std::mt19937 random(seed + 1);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) heard += lock.admits(at(random() % 3, 1), static_cast<std::int64_t>(++read) * ms);
  stop = true;
  signalling.join();
  CHECK(heard && heard < read, "%lu of %lu packets were heard", heard, read);
  std::printf("source: %lu of %lu packets heard\n", heard, read);
}

// A caller's packets over a jittery line, and what the pace takes of them. The jitter buffer is a count here, and a lost
// packet a hole that its successor shows.
struct Line {
  HearingPace pace;
  bool patient = true;
  unsigned waiting = 0, taken = 0, empty = 0, most_waited = 0;

  // One beat, before which `came` packets arrived.
  void beat(unsigned came, bool ready) {
    waiting += came;
    most_waited = std::max(most_waited, waiting);
    if (!pace.due(20, ready && waiting, patient)) return;
    pace.found(waiting);
    waiting ? (--waiting, ++taken) : ++empty;
  }
};

void pace(double seconds, unsigned seed) {
  std::mt19937 random(seed);
  const auto beats = static_cast<unsigned>(seconds * 20'000);

  Line steady;  // every packet is taken at the first beat after it came, wherever that lies
  for (unsigned i = 0; i < beats; ++i) {
    steady.beat(i % 4 == 3, true);
    CHECK(steady.waiting == 0, "a packet waited at beat %u", i);
  }
  CHECK(steady.empty == 1, "%u made-up frames on a clean line", steady.empty);

  Line jittery;  // up to 25 ms late costs no made-up frame
  std::map<unsigned, unsigned> due;
  for (unsigned i = 0; i < beats; ++i) {
    if (i % 4 == 0) ++due[i + random() % 6];
    jittery.beat(due.count(i) ? due[i] : 0, true);
  }
  CHECK(jittery.empty <= 1, "%u made-up frames for packets within our patience", jittery.empty);
  CHECK(jittery.most_waited <= 3, "%u packets lay there", jittery.most_waited);

  Line silent;  // nobody sends any more: frames of nothing, once per packet time, after one longer wait
  silent.beat(0, true);
  CHECK(silent.empty == 1, "the first beat brought no frame");
  for (unsigned i = 0; i < 40; ++i) silent.beat(i % 4 == 0, true);
  for (unsigned i = 0; i < 400; ++i) silent.beat(0, true);
  CHECK(silent.empty == 99 || silent.empty == 100, "%u frames in 2 s of nothing", silent.empty);

  Line announced;  // by comfort noise
  announced.patient = false;
  for (unsigned i = 0; i < 400; ++i) announced.beat(0, true);
  CHECK(announced.empty == 100, "%u frames in 2 s of announced silence", announced.empty);

  Line held;  // not ready is as good as not there, until its time
  for (unsigned i = 0; i < 400; ++i) held.beat(i % 4 == 0, false);
  CHECK(held.taken >= 43 && held.taken <= 46, "%u of 100 packets taken out of their time", held.taken);

  Line poor;  // what is ready goes out in its time at least, also when no more may be taken early
  for (unsigned i = 0; i < 40'000; ++i) poor.beat(1, true);
  const auto before = poor.taken;
  for (unsigned i = 0; i < 4'000; ++i) poor.beat(i % 4 == 0, true);
  CHECK(poor.taken - before >= 1'000, "%u of 1000 packets taken", poor.taken - before);

  Wire wire;  // one packet out of order is one, whatever numbers follow it
  wire.audio_pt = 0;
  const auto arrives = [&](std::uint16_t sequence, std::int64_t at) {
    const std::uint8_t packet[13]{0x80, 0, static_cast<std::uint8_t>(sequence >> 8), static_cast<std::uint8_t>(sequence)};
    CHECK(wire.receive(packet, sizeof packet, at) == Wire::Verdict::audio, "packet %u was not taken", sequence);
    return wire.disorder_ns.load();
  };
  CHECK(arrives(65'535, 10) == 0 && arrives(0, 20) == 0, "a clean line is out of order");
  CHECK(arrives(2, 30) == 30 && arrives(3, 40) == 30, "a gap was not seen once");
  CHECK(arrives(60'000, 50) == 50 && arrives(60'001, 60) == 50, "a new start was not seen once");

  Line flood;  // four times as many as time goes by: half a second of them, then what time allows and 2 % more
  for (unsigned i = 0; i < 40'000; ++i) flood.beat(1, true);
  CHECK(flood.taken <= 10'000 * 1.02 + 26, "%u packets taken in 200 s", flood.taken);

  Line burst;  // after a pause of the network everything comes at once and is taken in its wake
  for (unsigned i = 0; i < 4'000; ++i) burst.beat(i % 4 == 0, true);
  for (unsigned i = 0; i < 80; ++i) burst.beat(0, true);
  for (unsigned i = 0; i < 24; ++i) burst.beat(i == 0 ? 20 : i % 4 == 0, true);
  CHECK(burst.waiting <= 1, "%u packets of a burst still wait", burst.waiting);
  std::printf("pace: %u packets\n", steady.taken + jittery.taken);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string part = argv[1];
  const double seconds = std::atof(argv[2]);
  const auto seed = static_cast<unsigned>(std::atoi(argv[3]));
  if (part == "playout") playout(seconds, seed);
  if (part == "receive") receive(seconds, seed);
  if (part == "report") report(seconds, seed);
  if (part == "source") source(seconds, seed);
  if (part == "through") through(seconds, seed);
  if (part == "bus") bus(seconds, seed);
  if (part == "pace") pace(seconds, seed);
}
