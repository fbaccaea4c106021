"""The feed of the hardware panel, on a real kernel, as a front end talks to it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from queue import Empty

import msgspec
import pytest
from jupyter_client.manager import start_new_kernel

from jupyter_optim.report import LiveFrame

REGISTER = '__import__("importlib").import_module("jupyter_optim.notebook.live").register()'
THREADS = "[each.name for each in __import__('threading').enumerate()]"
PATIENCE_S = 60


class FrontEnd:
    """What a page does: it registers, opens comms, runs cells, and hears what the kernel says."""

    def __init__(self, client) -> None:
        self.client = client
        self.states: list[str] = []
        self._frames: dict[str, list[LiveFrame]] = {}

    def evaluate(self, expression: str) -> dict:
        asked = self.client.execute("", silent=True, store_history=False, user_expressions={"it": expression})
        return self._reply(asked)["user_expressions"]["it"]

    def _reply(self, asked: str) -> dict:
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == asked:
                return reply["content"]

    def run(self, code: str) -> dict:
        return self._reply(self.client.execute(code))

    def _send(self, kind: str, content: dict, subshell: str | None = None) -> None:
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    def open(self, *, every_s: float = 0.5, subshell: str | None = None) -> str:
        comm_id = uuid.uuid4().hex
        data = {"every_s": every_s}
        content = {"comm_id": comm_id, "target_name": "jupyter-optim-hardware", "data": data}
        self._send("comm_open", content, subshell)
        return comm_id

    def close(self, comm_id: str) -> None:
        self._send("comm_close", {"comm_id": comm_id, "data": {}})

    def subshell(self) -> str:
        asked = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(asked)
        while True:
            reply = self.client.get_control_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == asked["header"]["msg_id"]:
                return reply["content"]["subshell_id"]

    def frames(self, comm_id: str, enough: Callable[[list[LiveFrame]], bool]) -> list[LiveFrame]:
        """The frames that came over a comm from now on, as soon as they are enough."""
        self._frames[comm_id] = []
        until = time.monotonic() + PATIENCE_S
        while not enough(self._frames[comm_id]):
            assert time.monotonic() < until, "the frames did not come"
            self._hear(1)
        return self._frames[comm_id]

    def _hear(self, timeout: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=timeout)
        except Empty:
            return
        content = message["content"]
        if message["msg_type"] == "status":
            self.states.append(content["execution_state"])
        elif message["msg_type"] == "comm_msg" and content["comm_id"] in self._frames:
            self._frames[content["comm_id"]].append(msgspec.convert(content["data"], LiveFrame, strict=False))


@pytest.fixture(scope="module")
def front_end() -> Iterator[FrontEnd]:
    manager, client = start_new_kernel()
    found = FrontEnd(client)
    assert found.evaluate(REGISTER)["data"]["text/plain"] == "1"
    yield found
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def until_no_thread(front_end: FrontEnd) -> None:
    until = time.monotonic() + PATIENCE_S
    while "jupyter-optim-hardware" in front_end.evaluate(THREADS)["data"]["text/plain"]:
        assert time.monotonic() < until, "the thread lives on"


def test_registering_is_light_and_leaves_no_name(front_end):
    assert front_end.evaluate(REGISTER)["data"]["text/plain"] == "1"
    assert front_end.evaluate("'torch' in __import__('sys').modules")["data"]["text/plain"] == "False"
    assert "jupyter_optim" not in front_end.evaluate("list(globals())")["data"]["text/plain"]
    assert "jupyter-optim-hardware" not in front_end.evaluate(THREADS)["data"]["text/plain"]


def test_a_kernel_without_the_package_answers_with_the_name_of_what_is_missing(front_end):
    said = front_end.evaluate(REGISTER.replace("jupyter_optim", "not_installed_here"))
    assert (said["status"], said["ename"]) == ("error", "ModuleNotFoundError")


def test_each_sensor_has_a_value_or_a_reason(front_end):
    comm_id = front_end.open()
    frame = front_end.frames(comm_id, lambda seen: len(seen) > 1)[-1]
    front_end.close(comm_id)
    found = {sensor.key: sensor for sensor in frame.sensors if sensor.gpu is None}
    assert set(found) == {"cpu", "process_cpu", "memory", "process_memory", "temperature", "power"}
    for sensor in frame.sensors:
        assert (sensor.value is None) == bool(sensor.reason), sensor
    assert 0 < found["process_memory"].value < found["memory"].value < found["memory"].full
    assert frame.gpus or frame.gpu_reason
    until_no_thread(front_end)


def test_a_busy_kernel_goes_on_sending_and_says_which_cell_runs(front_end):
    comm_id = front_end.open()
    front_end.frames(comm_id, bool)
    asked = front_end.client.execute("import time; until = time.time() + 4\nwhile time.time() < until: pass")
    seen = front_end.frames(
        comm_id, lambda seen: len([f for f in seen if f.cells and f.cells[-1].ended_s is None]) > 3
    )
    assert max(sensor.value or 0 for f in seen for sensor in f.sensors if sensor.key == "process_cpu") > 30
    front_end._reply(asked)
    run = front_end.frames(comm_id, lambda seen: bool(seen) and seen[-1].cells[-1].ended_s is not None)[
        -1
    ].cells[-1]
    assert run.number == 1
    assert run.ended_s - run.began_s == pytest.approx(4, abs=1)
    # WHEN it is closed, THEN nothing is left of it
    front_end.close(comm_id)
    until_no_thread(front_end)


def test_beside_a_running_cell_a_comm_opens_on_a_subshell(front_end):
    asked = front_end.client.execute("import time; time.sleep(4)")
    subshell = front_end.subshell()
    front_end.states.clear()
    comm_id = front_end.open(subshell=subshell)
    seen = front_end.frames(comm_id, lambda seen: len(seen) > 2)
    assert seen[-1].cells[-1].ended_s is None
    # the kernel is said to be busy still
    assert front_end.states[-1] == "busy"
    front_end._reply(asked)
    front_end.close(comm_id)
    until_no_thread(front_end)


def test_two_viewers_share_one_thread(front_end):
    one, two = front_end.open(), front_end.open()
    front_end.frames(one, bool)
    front_end.frames(two, bool)
    assert front_end.evaluate(THREADS)["data"]["text/plain"].count("jupyter-optim-hardware") == 1
    front_end.close(one)
    front_end.frames(two, lambda seen: len(seen) > 1)
    front_end.close(two)
    until_no_thread(front_end)


def test_a_viewer_that_vanished_is_forgotten(front_end):
    patience = "setattr(__import__('jupyter_optim.notebook.live').notebook.live, '_PATIENCE_S', {})"
    front_end.evaluate(patience.format(3))
    front_end.open()
    until_no_thread(front_end)
    # one that says now and then that it is there is not
    comm_id = front_end.open()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        front_end.frames(comm_id, bool)
        front_end._send("comm_msg", {"comm_id": comm_id, "data": {}})
    front_end.evaluate(patience.format(150))
    front_end.close(comm_id)
    until_no_thread(front_end)
