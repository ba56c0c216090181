"""What no request shows: how the main process of several workers is stopped."""

import signal
from typing import Any
from unittest.mock import Mock, call

from app.server import Manager


def test_a_signal_leaves_the_workers_to_the_managers_own_loop() -> None:
    manager: Any = Mock(_shutting_down=False)
    Manager.shutdown_signal(manager, signal.SIGTERM, None)
    assert manager.mock_calls == [call.monitor_publisher.send(None)]
    assert manager._shutting_down
