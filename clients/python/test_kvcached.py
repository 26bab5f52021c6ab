#!/usr/bin/env python3
"""Tests of the client against a daemon process of their own. KVCACHED names its executable; without it, the Release build of this repository is taken.

    python3 clients/python/test_kvcached.py
"""

import collections
import os
import pathlib
import subprocess
import tempfile
import time
import traceback
import unittest

import kvcached
from kvcached import Client, Layout

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
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
        while not os.path.exists(self.socket):
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


if __name__ == "__main__":
    unittest.main()
