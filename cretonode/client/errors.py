"""What can go wrong between an application and a node: the class says who should act."""

from cretonode.errors import ClientError


class Rejected(ClientError):
    """The node refuses this request, and would again: the application acts."""

    def __init__(self, detail: str, *, status: int, problem: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.problem = problem  # its type, such as "urn:cretonode:problem:malformed-request"


class Failed(ClientError):
    """The node failed to answer; its operator finds `error_id` in the log."""

    def __init__(self, detail: str, *, status: int, problem: str, error_id: str | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.problem = problem
        self.error_id = error_id


class Unavailable(ClientError):
    """The node can take no such request now. Try later, or another node."""

    def __init__(
        self, detail: str, *, status: int, problem: str, retry_after_s: float | None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.problem = problem
        self.retry_after_s = retry_after_s


class Unreachable(ClientError):
    """No answer came. Whether the request was served is not known; repeating it is safe."""


class BadAnswer(ClientError):
    """The answer is not one of this interface: another program, or another version."""
