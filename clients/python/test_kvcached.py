#!/usr/bin/env python3
"""Tests of the client against a daemon process of their own. KVCACHED names its executable; without it, the Release build of this repository is taken.

    python3 clients/python/test_kvcached.py
"""

import collections
import ctypes
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
import unittest.mock

import kvcached
from kvcached import Client, DaemonLost, KvcachedError, Layout, NoDaemon
from kvcached_control import Control

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples/python_attach.py"
EXECUTABLE = os.environ.get("KVCACHED", ROOT / "Kvcached.Daemon/bin/Release/net10.0/kvcached")
LAYOUT = Layout(layers=2, heads=2, head_dim=64)


class DaemonTest(unittest.TestCase):
    """A daemon for each test, and clients of it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = os.path.join(folder.name, "kvcached.sock")
        self.daemon = subprocess.Popen([EXECUTABLE, "serve", "--pool", "8MiB", "--cold", "8MiB", "--socket", self.socket], stdout=subprocess.DEVNULL)
        self.addCleanup(self.end_daemon)
        deadline = time.monotonic() + 20
        while True:
            try:
                return Client(self.socket).close()
            except NoDaemon:
                self.assertIsNone(self.daemon.poll(), "the daemon has ended")
                self.assertLess(time.monotonic(), deadline, "the daemon has not begun to listen")
                time.sleep(0.02)

    def end_daemon(self):
        self.daemon.kill()
        self.daemon.wait()

    def connect(self):
        client = Client(self.socket, tenant="tests", name="test_kvcached")
        self.addCleanup(client.close)
        return client, client.register_model("tiny", [LAYOUT])


class SharedWords(DaemonTest):
    """What the daemon looks at while the client writes it."""

    def watch(self, client, ats):
        """Starts a process that looks at words of the client's area for as long as it may, and ends with 1 where one went back."""
        read, write = os.pipe()
        watcher = os.fork()
        if watcher == 0:
            status = 2
            try:
                os.close(write)
                os.set_blocking(read, False)
                status = int(self.went_back(memoryview(client._own).cast("Q"), ats, read))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(read)
        return watcher, write

    @staticmethod
    def went_back(words, ats, read):
        last = [0] * len(ats)
        while True:
            for _ in range(1000):
                for i, at in enumerate(ats):
                    value = words[at // 8]
                    if value < last[i]:
                        return True
                    last[i] = value
            try:
                if os.read(read, 1) == b"":
                    return False
            except BlockingIOError:
                pass

    def test_no_word_that_the_daemon_reads_ever_goes_back(self):
        client, model = self.connect()
        lane = client.open_lane(depth=64)
        groups = [[client.create_sequence(model) for _ in range(4)] for _ in range(16)]
        watcher, write = self.watch(client, [kvcached.SUBMISSION_TAIL, kvcached.COMPLETION_HEAD, lane._at])
        under_way, ended, deadline = collections.deque(), 0, time.monotonic() + 3
        while time.monotonic() < deadline:
            for group in groups:
                step = lane.begin([(sequence, 0) for sequence in group])
                if step is not None:
                    under_way.append(step)
                client.create_sequence(model).free()
                if len(under_way) > 32:
                    step = under_way.popleft()
                    step.wait_begin()
                    step.end()
                    ended += 1
        os.close(write)
        _, status = os.waitpid(watcher, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, "a tail, a head or an end of a timeline went back")
        self.assertGreater(ended, 500)

    def test_many_thousand_records_arrive(self):
        client, model = self.connect()
        for _ in range(30000):
            client.create_sequence(model).free()
        time.sleep(0.2)
        client._check()
        self.assertEqual(client.create_sequence(model).slot, 0)


class LostDaemon(DaemonTest):
    """A daemon that is stopped, killed, or disconnects the client: DaemonLost, and soon."""

    def seconds_until_lost(self, act, message):
        start = time.monotonic()
        with self.assertRaisesRegex(DaemonLost, message):
            act()
        return time.monotonic() - start

    def assert_lost(self, act, message):
        self.assertLess(self.seconds_until_lost(act, message), 2.0)

    def assert_lost_already(self, act, message):
        # The best of a few: a machine that stands still for a while is no client that waits.
        self.assertLess(min(self.seconds_until_lost(act, message) for _ in range(5)), 0.1)

    def begin_for_ever(self, client, model):
        lane, sequence = client.open_lane(), client.create_sequence(model)
        while True:
            step = lane.begin([(sequence, 0)])
            if step is not None:
                step.wait_begin()
                step.end()

    def stop(self):
        self.daemon.send_signal(signal.SIGSTOP)
        self.addCleanup(self.daemon.send_signal, signal.SIGCONT)

    def test_stopped(self):
        def create_for_ever(client, model):
            while True:
                client.create_sequence(model).free()

        def evict(client, model):
            client.create_sequence(model).evict(client._lanes[0])

        for name, act in [
            ("evict", evict), ("a full ring", create_for_ever), ("begin and wait_begin", self.begin_for_ever), ("statistics", lambda client, _: client.statistics()),
        ]:
            with self.subTest(name):
                client, model = self.connect()
                client.open_lane()
                self.stop()
                self.assert_lost(lambda: act(client, model), "has been stopped")
                self.assert_lost_already(lambda: client.create_sequence(model), "has been stopped")
                self.daemon.send_signal(signal.SIGCONT)
        self.stop()
        self.assert_lost(lambda: Client(self.socket), "has been stopped")

    def test_stopped_while_a_step_is_waited_for(self):
        client, model = self.connect()
        timer = threading.Timer(0.3, self.stop)
        timer.start()
        self.assert_lost(lambda: self.begin_for_ever(client, model), "has been stopped")
        timer.join()

    def test_killed(self):
        client, model = self.connect()
        other, _ = self.connect()
        self.end_daemon()
        self.assert_lost(lambda: self.begin_for_ever(client, model), "is lost")
        self.assert_lost(other.statistics, "is lost")
        self.assert_lost(other.open_lane, "is lost")
        self.assert_lost(lambda: Client(self.socket), "no daemon answers")

    def test_the_reason_of_a_disconnection_is_told(self):
        def statistics_for_ever(client, model):
            while True:
                client.statistics()

        for act in [self.begin_for_ever, statistics_for_ever]:
            client, model = self.connect()
            client._own_words[kvcached.SUBMISSION_TAIL // 8] = 4
            client._ring(kvcached.ATTEND_SUBMISSIONS)
            time.sleep(0.2)
            self.assert_lost(lambda: act(client, model), "disconnected this client: The submission ring is corrupt: Tail")

    def test_a_reason_that_comes_in_two_pieces_is_told(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path, reason = os.path.join(folder.name, "s"), json.dumps({"type": "goodbye", "reason": "of old age"}).encode()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            control = Control(path, 1.0)
            self.addCleanup(control.close)
            control.watch(lambda: 0, lambda: True, os.eventfd(0))
            daemon, _ = listener.accept()
            with daemon:
                daemon.sendall(struct.pack("<I", len(reason)) + reason[:10])
                timer = threading.Timer(0.1, daemon.sendall, [reason[10:]])
                timer.start()
                self.assert_lost(control.check, "of old age")
                timer.join()

    def test_what_is_no_daemon(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(folder, "s"))
            listener.listen()
            self.assert_lost(lambda: Client(os.path.join(folder, "s"), timeout=0.3), "has not answered for 0.3 s")


class PageTables(DaemonTest):
    """What kernels get that take a block table, beside views and entries."""

    def test_page_tables_say_what_views_and_entries_say(self):
        client, _ = self.connect()
        layout = kvcached.Layout(layers=3, heads=2, head_dim=64, page_table=True)
        model = client.register_model("pages", [LAYOUT, layout])
        lane = client.open_lane(max_batch=3, max_layouts=2, max_pages=9)
        sequences = [client.create_sequence(model) for _ in range(3)]
        for tokens in [(40, 1, 0), (5, 100, 16)]:
            step = lane.begin(list(zip(sequences, tokens)))
            step.wait_begin()
            table, views = step.page_table(1), step.views(1)
            self.assertEqual(table.max_pages, 9)
            words = memoryview(lane.page_tables).cast("i")
            at = {name: getattr(table, name) // 4 for name in ("block_table", "indices", "sequence_lengths", "last_page_lengths", "indptr")}
            entries = memoryview(client.entries).cast("I")
            page = model.shapes[1]["blockBytes"] // kvcached.GRANULE
            start = 0
            for i, view in enumerate(views):
                pages = [entries[view.row_start + block] // page for block in range(view.block_count)]
                self.assertEqual(list(words[at["block_table"] + 9 * i:][:len(pages)]), pages)
                self.assertEqual(list(words[at["indices"] + start:][:len(pages)]), pages)
                self.assertEqual(words[at["indptr"] + i], start)
                self.assertEqual(words[at["sequence_lengths"] + i], view.token_count)
                self.assertEqual(words[at["last_page_lengths"] + i], (view.token_count - 1) % 16 + 1 if view.token_count else 0)
                start += len(pages)
            self.assertEqual(words[at["indptr"] + 3], start)
            step.end()
            words = entries = None

    def test_addresses_are_those_of_the_timelines(self):
        client, model = self.connect()
        lane = client.open_lane()
        words = [ctypes.c_uint64.from_address(address) for address in (lane.begin_address, lane.end_address)]
        step = lane.begin([(client.create_sequence(model), 1)])
        step.wait_begin()
        self.assertEqual((words[0].value, words[1].value), (step.number, step.number - 1))
        words[1].value = step.number
        step.end_by_stream()
        lane.call()
        self.assertEqual(lane._end_value(), step.number)
        with self.assertRaisesRegex(ValueError, "has ended"):
            step.end()

    def test_memory_of_a_device_is_what_its_importer_says(self):
        taken = []

        def take(fd, size, write):
            os.close(fd)
            taken.append((size, write))
            return 1 << 40

        with Client(self.socket, device_memory=take) as client:
            self.assertEqual((client.pool, client.entries, [write for _, write in taken]), (1 << 40, 1 << 40, [False, True]))
            lane = client.open_lane(max_pages=4)
            self.assertEqual((lane.views, lane.page_tables, len(taken)), (1 << 40, 1 << 40, 4))


    def test_memory_that_cannot_be_mapped_is_said_to_be_before_it_is_mapped(self):
        with unittest.mock.patch.object(Control, "ask", lambda control, request: {"device": "cuda:0 (a GPU)", "memory": "Cuda"}):
            with self.assertRaisesRegex(KvcachedError, "cuda:0 .*give device_memory"):
                Client(self.socket)


class WrongCalls(DaemonTest):
    """What cannot be is a typed error, and the client goes on."""

    def setUp(self):
        super().setUp()
        self.client, self.model = self.connect()
        self.lane = self.client.open_lane(max_batch=4)
        self.sequence = self.client.create_sequence(self.model)

    def run_step(self, tokens=16):
        step = self.lane.begin([(self.sequence, tokens)])
        step.wait_begin()
        return step, step.views()[0]

    def test_of_sequences(self):
        freed = self.client.create_sequence(self.model)
        freed.free()
        _, other_model = other = self.connect()
        two = self.client.register_model("two", [LAYOUT, LAYOUT])
        foreign, of_two = other[0].create_sequence(other_model), self.client.create_sequence(two)
        many = [self.client.create_sequence(self.model) for _ in range(5)]
        sequence, begin = self.sequence, self.lane.begin
        for message, act in [
            ("has been freed", freed.free), ("has been freed", lambda: freed.truncate(0)), ("has been freed", lambda: freed.evict(self.lane)),
            ("has been freed", lambda: begin([(sequence, 1), (freed, 1)])), ("another client", lambda: begin([(foreign, 1)])),
            ("another client", lambda: sequence.evict(other[0].open_lane())), ("another client", lambda: self.client.create_sequence(other_model)),
            ("of 0 sequences", lambda: begin([])), ("of 5 sequences", lambda: begin([(item, 1) for item in many])),
            ("new tokens is -1", lambda: begin([(sequence, -1)])), ("new tokens is", lambda: begin([(sequence, 1 << 31)])),
            ("stands twice", lambda: begin([(sequence, 1), (sequence, 1)])), ("another model", lambda: begin([(sequence, 1), (of_two, 1)])),
            ("has 2 layouts", lambda: begin([(of_two, 1)])), ("tokens is -1", lambda: sequence.truncate(-1)), ("count is -1", lambda: sequence.commit(-1)),
            ("most is -1", lambda: sequence.move(self.lane, -1)),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                act()
        step, view = self.run_step()
        self.assertEqual((step.number, view.token_count), (1, 16))
        step.end()

    def test_of_steps(self):
        first, view = self.run_step()
        second = self.lane.begin([(self.sequence, 0)])
        second.wait_begin()
        for arguments in [(-1,), (16,), (0, -1), (0, 2), (0, 0, 2), (0, 0, -1), (0, 0, 0, 2), (0, 0, 0, -1), (0, 0, 0, 0, 1), (0, 0, 0, 0, -1)]:
            with self.subTest(arguments), self.assertRaises(ValueError):
                first.token(view, *arguments)
        self.assertEqual(len(first.token(view, 15, 1, 1, 1)), 128)
        for message, act in [
            ("ends before", second.end), ("layout is", lambda: first.views(1)), ("layout is", lambda: first.views(-1)),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                act()
        first.end()
        for act in [first.end, first.views, lambda: first.token(view, 0)]:
            with self.assertRaisesRegex(ValueError, "has ended"):
                act()
        second.end()

    def test_of_page_tables(self):
        step, _ = self.run_step()
        with self.assertRaisesRegex(ValueError, "has page tables where"):
            step.page_table()
        step.end()

    def test_of_a_refused_view(self):
        step, view = self.run_step(1 << 20)
        self.assertTrue(view.refused)
        with self.assertRaisesRegex(ValueError, "was refused"):
            step.token(view, 0)
        step.end()

    def test_more_sequences_than_the_daemon_gives_one_client(self):
        most = self.client._max_sequences
        sequences = [self.client.create_sequence(self.model) for _ in range(most - 1)]
        with self.assertRaisesRegex(KvcachedError, f"holds {most} sequences") as raised:
            self.client.create_sequence(self.model)
        self.assertEqual(raised.exception.error, "CapacityExceeded")
        sequences[0].free()
        self.client.create_sequence(self.model)
        self.client.statistics()

    def test_a_closed_client(self):
        step, view = self.run_step()
        self.client.close()
        self.client.close()
        for act in [
            self.client.statistics, self.client.open_lane, self.sequence.free, lambda: self.sequence.evict(self.lane), lambda: self.lane.begin([(self.sequence, 1)]),
            step.end, step.wait_begin, step.views, lambda: step.token(view, 0), lambda: step.status,
        ]:
            with self.assertRaisesRegex(ValueError, "has been closed"):
                act()

    def test_of_requests(self):
        for message, act in [
            ("reads at most 65536", lambda: self.client.register_model("x" * 70000, [LAYOUT])), ("not JSON compliant", lambda: self.client.open_lane(depth=float("nan"))),
            ("must have 1 to 107 bytes", lambda: Client("x" * 108)), ("must have 1 to 107 bytes", lambda: Client("")),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                act()
        self.run_step()[0].end()


class Resources(DaemonTest):
    """Descriptors and mappings of the daemon's memory, once what had them is over."""

    @staticmethod
    def held():
        with open("/proc/self/maps") as maps:
            return len(os.listdir("/proc/self/fd")), sum("memfd:" in line for line in maps)

    def test_a_client_that_is_closed_holds_nothing(self):
        before = self.held()
        client, model = self.connect()
        lane = client.open_lane()
        step = lane.begin([(client.create_sequence(model), 16)])
        step.wait_begin()
        memory = step.token(step.views()[0], 0)
        self.assertFalse(os.get_inheritable(client._event))
        client.close()
        self.assertEqual(self.held(), (before[0] + 1, before[1] + 1))  # an mmap has a descriptor of its own
        memory[:] = bytes(len(memory))
        del memory
        self.assertEqual(self.held(), before)

    def test_a_client_that_cannot_attach_holds_nothing(self):
        before = self.held()
        with self.assertRaises(KvcachedError) as raised:
            Client(self.socket, ring_bytes=5)
        self.assertEqual((self.held(), raised.exception.error), (before, "InvalidArgument"))
        for path in ["/nowhere/s", self.socket]:
            with self.assertRaises(TypeError if path == self.socket else NoDaemon):
                Client(path, timeout="soon" if path == self.socket else 1.0)
            self.assertEqual(self.held(), before)

    def test_too_few_descriptors_are_said_and_none_stays_open(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = self.held()
        next_fd = os.dup(0)
        os.close(next_fd)
        for more in range(1, 5):
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_fd + more, hard))
            try:
                with self.subTest(more), self.assertRaisesRegex(DaemonLost, "as many open as it may"):
                    Client(self.socket)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual(self.held(), before)

    def test_a_lane_that_could_not_be_mapped_leaves_the_numbers_of_others_right(self):
        client, model = self.connect()
        with unittest.mock.patch.object(client, "_take", side_effect=OSError("no memory")), self.assertRaisesRegex(OSError, "no memory"):
            client.open_lane()
        lane, sequence = client.open_lane(), client.create_sequence(model)
        for _ in range(10):
            step = lane.begin([(sequence, 1)])
            step.wait_begin()
            step.end()
            step.lane._client._wait(lambda: step.status == kvcached.ACCEPTED, 5.0, "no answer")


class Example(unittest.TestCase):
    """The examples where there is no daemon, or nothing to run on."""

    def test_no_daemon(self):
        run = subprocess.run([sys.executable, EXAMPLE, "--socket", "/nowhere/kvcached.sock", "--patience", "0.2"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr, r"\Ano daemon answers on /nowhere/kvcached.sock.*\n\Z")

    def test_no_torch(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "torch.py").write_text("raise ImportError('as if it were not there')")
            run = subprocess.run([sys.executable, ROOT / "examples/torch_attach.py", "--socket", "/nowhere"], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": folder})
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stderr, r"\Anot run: PyTorch is not there \(as if it were not there\).*\n\Z")


if __name__ == "__main__":
    unittest.main()
