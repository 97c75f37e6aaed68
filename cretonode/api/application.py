"""The routes: from an HTTP request to a call of the node and back.

The gate has read the body and bounded the number of requests before anything here runs.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import trio
from quart import Response, request
from quart_trio import QuartTrio

from cretonode.api import answers
from cretonode.api.answers import Json
from cretonode.api.bodies import RAW, decode_transactions_untrusted
from cretonode.api.openapi import openapi_document
from cretonode.api.page import docs_page
from cretonode.api.ports import FinalizedView, NodePort
from cretonode.api.problems import Problem, overloaded, problem_of
from cretonode.api.queries import (
    hash_untrusted,
    no_parameters_untrusted,
    range_untrusted,
    sequence_untrusted,
    wait_untrusted,
)
from cretonode.api.settings import ANSWER_TRANSACTIONS_MAX, FINALIZED_CHUNK, ApiSettings
from cretonode.api.waits import Waits
from cretonode.identifiers import SequenceNumber, TransactionId, VertexHash

JSON_TYPE: Final = "application/json"
# The page runs nothing and loads nothing; its one style sheet is in it.
PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

Handler = Callable[..., Coroutine[Any, Any, Response]]  # Quart's own type for one


class Application(QuartTrio):
    """Quart, without its own log and its own error pages."""

    def log_exception(self, exception_info: object) -> None:
        """Do nothing: problems.problem_of logs every error that nobody foresaw."""


def make_application(port: NodePort, settings: ApiSettings, waits: Waits) -> Application:
    """Return the application over `port`. Raises Problem nowhere: all become answers."""
    application = Application("cretonode.api", static_folder=None)
    application.config["MAX_CONTENT_LENGTH"] = settings.request_bytes_max
    # A slow client is bounded for each piece it takes, in http1, and not for a whole answer.
    application.config["RESPONSE_TIMEOUT"] = None
    # A path is what its bytes say: no redirect to a tidier one.
    application.url_map.merge_slashes = False
    application.url_map.redirect_defaults = False
    handlers = Handlers(port, settings, waits)
    for method, path, handler in handlers.routes():
        application.add_url_rule(path, handler.__name__, handler, methods=[method])
    application.register_error_handler(Exception, answer_problem)
    return application


async def answer_problem(error: Exception) -> Response:
    """Return the problem document for whatever a handler, or the routing, raised."""
    problem = problem_of(error, method=request.method, path=request.path)
    return Response(problem.body(), status=problem.status, headers=problem.headers())


class Handlers:
    """One method for each route."""

    def __init__(self, port: NodePort, settings: ApiSettings, waits: Waits) -> None:
        self._port = port
        self._settings = settings
        self._waits = waits
        self._openapi = answers.encode(openapi_document(settings))
        self._page = docs_page(openapi_document(settings))

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        """Return the method, the path and the handler of each route."""
        return (
            ("POST", "/v1/transactions", self.submit),
            ("GET", "/v1/transactions/<id_>", self.transaction),
            ("GET", "/v1/finalized", self.finalized),
            ("GET", "/v1/finalized/<sequence>", self.finalized_at),
            ("GET", "/v1/vertices/<hash_>", self.vertex),
            ("GET", "/v1/tips", self.tips),
            ("GET", "/v1/status", self.status),
            ("GET", "/v1/validators", self.validators),
            ("GET", "/v1/peers", self.peers),
            ("GET", "/v1/reputation", self.reputation),
            ("GET", "/v1/violations", self.violations),
            ("GET", "/v1/bans", self.bans),
            ("GET", "/v1/evidence", self.evidence),
            ("GET", "/v1/evidence/<id_>", self.evidence_file),
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/docs", self.docs),
        )

    # --- transactions

    async def submit(self) -> Response:
        """Take transactions in, and wait for their finality when asked to."""
        wait_ms = wait_untrusted(request.args, wait_ms_max=self._settings.wait_ms_max)
        coding = request.headers.get("content-encoding", "identity")
        if coding.strip().lower() not in ("", "identity"):
            detail = f"content encoding {coding[:40]!r}; send the body as it is"
            raise Problem("unsupported-media-type", detail)
        body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        transactions = decode_transactions_untrusted(request.mimetype, body)
        if not wait_ms:
            accepted = await self._port.submit(transactions)
            return _answer(answers.encode_accepted(accepted), status=202)
        with self._waits.slot():  # before anything is taken in: a refusal must leave nothing
            accepted = await self._port.submit(transactions)
            found = await self._waits.all(accepted, wait_ms)
        final = all(view is not None and view.sequence is not None for view in found)
        body = answers.encode_waited(accepted, found, final=final)
        return _answer(body, status=200 if final else 202)

    async def transaction(self, id_: str) -> Response:
        """Show a transaction, or give its bytes."""
        wait_ms = wait_untrusted(request.args, wait_ms_max=self._settings.wait_ms_max)
        wanted = TransactionId(hash_untrusted(id_, name="transaction id"))
        if wait_ms:
            with self._waits.slot():
                view = await self._waits.one(wanted, wait_ms)
        else:
            view = await self._port.transaction(wanted, wait_ms=0)
        if view is None:
            raise Problem("not-found", f"no transaction {wanted.hex()} here (yet)")
        if request.accept_mimetypes.best_match((JSON_TYPE, RAW), JSON_TYPE) == JSON_TYPE:
            return _answer(answers.encode_transaction(view))
        if view.transaction is None:
            raise Problem("not-found", f"the bytes of transaction {wanted.hex()} are not here")
        return _answer(view.transaction, content_type=RAW)

    # --- the order

    async def finalized(self) -> Response:
        """Show a range of sequences, whole ones, as many as fit an answer."""
        first, count = range_untrusted(request.args)
        pieces: list[bytes] = []
        following = first
        transactions = 0
        while following < first + count and transactions < ANSWER_TRANSACTIONS_MAX:
            chunk = min(FINALIZED_CHUNK, first + count - following)
            views = await self._port.finalized(following, chunk)
            for view in views:
                pieces.append(answers.encode_finalized(view))
                following = SequenceNumber(view.sequence + 1)
                transactions += len(view.transactions)
                if transactions >= ANSWER_TRANSACTIONS_MAX:
                    break
                await trio.lowlevel.checkpoint()  # the node's own work goes between
            if len(views) < chunk:
                break
        tail = f'],"next":{following},"final":{self._port.status().final}}}'
        return _answer(b'{"finalized":[' + b",".join(pieces) + tail.encode())

    async def finalized_at(self, sequence: str) -> Response:
        """Show what one sequence finalized."""
        no_parameters_untrusted(request.args)
        wanted = sequence_untrusted(sequence)
        views: tuple[FinalizedView, ...] = await self._port.finalized(wanted, 1)
        if not views:
            final = self._port.status().final
            raise Problem(
                "not-found",
                f"sequence {wanted} is not final here yet; the last that is: {final}",
            )
        return _answer(answers.encode_finalized(views[0]))

    async def vertex(self, hash_: str) -> Response:
        """Show a vertex."""
        no_parameters_untrusted(request.args)
        wanted = VertexHash(hash_untrusted(hash_, name="vertex hash"))
        view = await self._port.vertex(wanted)
        if view is None:
            raise Problem("not-found", f"no vertex {wanted.hex()} here (yet)")
        return _document(answers.vertex_document(view))

    async def tips(self) -> Response:
        """Show the vertices without a child."""
        no_parameters_untrusted(request.args)
        return _document({"tips": [answers.vertex_document(v) for v in await self._port.tips()]})

    # --- the network

    async def status(self) -> Response:
        """Show where the node stands."""
        no_parameters_untrusted(request.args)
        return _document(answers.status_document(self._port.status()))

    async def validators(self) -> Response:
        """Show the committee."""
        no_parameters_untrusted(request.args)
        views = self._port.validators()
        return _document({"validators": [answers.validator_document(view) for view in views]})

    async def peers(self) -> Response:
        """Show the other validators."""
        no_parameters_untrusted(request.args)
        return _document({"peers": [answers.peer_document(view) for view in self._port.peers()]})

    # --- what this node makes of the others

    async def reputation(self) -> Response:
        """Show the scores of the other validators."""
        no_parameters_untrusted(request.args)
        views = self._port.reputation()
        return _document({"reputation": [answers.reputation_document(view) for view in views]})

    async def violations(self) -> Response:
        """Show the newest violations."""
        no_parameters_untrusted(request.args)
        views = self._port.violations()
        return _document({"violations": [answers.violation_document(view) for view in views]})

    async def bans(self) -> Response:
        """Show who is banned, and who would be."""
        no_parameters_untrusted(request.args)
        return _document({"bans": [answers.ban_document(view) for view in self._port.bans()]})

    async def evidence(self) -> Response:
        """Show what contradictions were proven."""
        no_parameters_untrusted(request.args)
        views = self._port.evidence()
        return _document({"evidence": [answers.evidence_document(view) for view in views]})

    async def evidence_file(self, id_: str) -> Response:
        """Give a piece of evidence that anybody can verify."""
        no_parameters_untrusted(request.args)
        wanted = hash_untrusted(id_, name="evidence id")
        encoded = self._port.evidence_bytes(wanted)
        view = next((view for view in self._port.evidence() if view.id == wanted), None)
        if encoded is None or view is None:
            raise Problem("not-found", f"no evidence {wanted.hex()} here")
        chain_id = self._port.status().chain_id
        return _document(answers.evidence_file(view, encoded, chain_id=chain_id))

    # --- the interface itself. Probes may add query parameters; these ignore them.

    async def healthz(self) -> Response:
        """Say that the process is alive."""
        return _document({"alive": True})

    async def readyz(self) -> Response:
        """Say whether the node can serve now."""
        status = self._port.status()
        if not status.ready:
            raise overloaded(status.reason or "no reason is known", name="not-ready")
        return _document({"ready": True})

    async def openapi(self) -> Response:
        """Give the OpenAPI document."""
        return _answer(self._openapi)

    async def docs(self) -> Response:
        """Give the page for people."""
        response = _answer(self._page, content_type="text/html; charset=utf-8")
        response.headers["content-security-policy"] = PAGE_POLICY
        return response


def _answer(body: bytes, *, status: int = 200, content_type: str = JSON_TYPE) -> Response:
    return Response(body, status=status, content_type=content_type)


def _document(document: Json) -> Response:
    return _answer(answers.encode(document))
