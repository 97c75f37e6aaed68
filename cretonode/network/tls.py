"""TLS 1.3 with one choice of everything: X25519MLKEM768, ML-DSA-87, AES-256-GCM, both sides named.

Owns the four handshake messages in which aioquic's own context would choose classical
algorithms; parsing, key schedule and state machine stay aioquic's. There is nothing to negotiate
down to: a peer that lacks one of the above is refused with an alert. No tickets are issued and
no pre-shared key is accepted, so every connection proves both keys afresh.
Source: RFC 8446; RFC 9001; draft-ietf-tls-ecdhe-mlkem; draft-ietf-tls-mldsa.
"""

import os
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PublicKey

from cretonode.errors import BadSignature, MalformedMessage
from cretonode.identifiers import PROTOCOL_VERSION, NodeId, short
from cretonode.network.certificate import Credentials, node_id_of, read_certificate_untrusted
from cretonode.network.key_share import X25519MLKEM768, ClientShare, answer_untrusted

_T = TypeVar("_T")
ALPN: Final = f"cretonode/{PROTOCOL_VERSION}"
MLDSA87: Final = 0x0906  # TLS SignatureScheme
CIPHER_SUITE: Final = tls.CipherSuite.AES_256_GCM_SHA384
MESSAGE_BYTES_MAX: Final = 16_384  # the longest honest one is the certificate, about 7,500
assert MESSAGE_BYTES_MAX > 8_192


class AlertCertificateRequired(tls.Alert):
    """The client sent no certificate."""

    description = tls.AlertDescription.certificate_required


class AlertAccessDenied(tls.Alert):
    """The peer's key is not the expected one, or not on the list."""

    description = tls.AlertDescription.access_denied


class PostQuantumContext(tls.Context):
    """One side of one handshake. `peer` is set once the peer has proven its key.

    `authorize` is asked once, before any signature of the peer is checked; it must not raise.
    Errors: tls.Alert, for the engine to send.
    """

    def __init__(
        self, *, is_client: bool, credentials: Credentials, authorize: Callable[[NodeId], bool]
    ) -> None:
        super().__init__(
            is_client=is_client,
            alpn_protocols=[ALPN],
            cipher_suites=[CIPHER_SUITE],
            verify_mode=ssl.CERT_NONE,  # no authorities: see `_set_peer_certificate`
        )
        self._credentials = credentials
        self._authorize = authorize
        self._client_share: ClientShare | None = None
        self._peer_key: MLDSA87PublicKey | None = None
        self.peer: NodeId | None = None
        self.peer_process = 0

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, Buffer]) -> None:
        """Take handshake bytes in, and put the answer into the buffer of its epoch."""
        # A message may declare 16 MiB, and aioquic would gather them all before it looks.
        if len(self._receive_buffer) + len(input_data) > MESSAGE_BYTES_MAX:
            raise tls.AlertDecodeError("a handshake message too long")
        super().handle_message(input_data, output_buf)

    # --- client

    def _client_send_hello(self, output_buf: Buffer) -> None:
        self._client_share = ClientShare.generate()
        self.key_schedule = tls.KeySchedule(CIPHER_SUITE)
        self.key_schedule.extract(None)
        hello = tls.ClientHello(
            random=self.client_random,
            legacy_session_id=b"",
            cipher_suites=[CIPHER_SUITE],
            legacy_compression_methods=[tls.CompressionMethod.NULL],
            alpn_protocols=[ALPN],
            key_share=[(X25519MLKEM768, self._client_share.public)],
            signature_algorithms=[MLDSA87],
            supported_groups=[X25519MLKEM768],
            supported_versions=[tls.TLS_VERSION_1_3],
            other_extensions=self.handshake_extensions,
        )
        with tls.push_message(self.key_schedule, output_buf):
            tls.push_client_hello(output_buf, hello)
        self._set_state(tls.State.CLIENT_EXPECT_SERVER_HELLO)

    def _client_handle_hello(self, input_buf: Buffer, output_buf: Buffer) -> None:  # noqa: ARG002
        hello = tls.pull_server_hello(input_buf)
        if hello.supported_version != tls.TLS_VERSION_1_3:
            raise tls.AlertProtocolVersion("the server does not speak TLS 1.3")
        if hello.cipher_suite != CIPHER_SUITE:
            raise tls.AlertIllegalParameter("the server chose a cipher suite not offered")
        if hello.compression_method != tls.CompressionMethod.NULL:
            raise tls.AlertIllegalParameter("the server chose a compression not offered")
        if hello.pre_shared_key is not None:
            raise tls.AlertIllegalParameter("the server chose a pre-shared key; none was offered")
        if hello.key_share is None or hello.key_share[0] != X25519MLKEM768:
            raise tls.AlertIllegalParameter("the server chose a key exchange not offered")
        assert self._client_share is not None
        try:
            secret = self._client_share.finish_untrusted(hello.key_share[1])
        except MalformedMessage as error:
            raise tls.AlertIllegalParameter(str(error)) from None
        self._client_share = None
        schedule = self._schedule()
        schedule.update_hash(input_buf.data)
        schedule.extract(secret)
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE, b"s hs traffic")
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")
        self._set_state(tls.State.CLIENT_EXPECT_ENCRYPTED_EXTENSIONS)

    def _client_handle_certificate_verify(self, input_buf: Buffer) -> None:
        super()._client_handle_certificate_verify(input_buf)
        self._accept_peer()

    def _client_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        finished = tls.pull_finished(input_buf)
        schedule = self._schedule()
        if finished.verify_data != schedule.finished_verify_data(_some(self._dec_key)):
            raise tls.AlertDecryptError("the server's Finished does not verify")
        if self._certificate_request is None:
            raise tls.AlertHandshakeFailure("the server did not ask who we are")
        schedule.update_hash(input_buf.data)
        assert schedule.generation == 2, schedule.generation
        schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        application_key = schedule.derive_secret(b"c ap traffic")
        self._push_own_certificate(
            output_buf, tls.CLIENT_CONTEXT_STRING, self._certificate_request.request_context
        )
        self._push_own_finished(output_buf)
        self._enc_key = application_key
        self.update_traffic_key_cb(
            tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, CIPHER_SUITE, application_key
        )
        self._set_state(tls.State.CLIENT_POST_HANDSHAKE)

    # --- server

    def _server_handle_hello(
        self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer
    ) -> None:
        hello = tls.pull_client_hello(input_buf)
        client_share = _our_share(hello)
        self.alpn_negotiated = ALPN
        self.client_random = hello.random
        self.server_random = os.urandom(32)
        self.legacy_session_id = hello.legacy_session_id
        self.received_extensions = hello.other_extensions
        if self.alpn_cb is not None:
            self.alpn_cb(ALPN)  # the engine reads the client's transport parameters here
        try:
            server_share, secret = answer_untrusted(client_share)
        except MalformedMessage as error:
            raise tls.AlertIllegalParameter(str(error)) from None

        schedule = self.key_schedule = tls.KeySchedule(CIPHER_SUITE)
        schedule.extract(None)
        schedule.update_hash(input_buf.data)
        with tls.push_message(schedule, initial_buf):
            tls.push_server_hello(initial_buf, self._own_server_hello(server_share))
        schedule.extract(secret)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"s hs traffic")
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")
        extensions = tls.EncryptedExtensions(
            alpn_protocol=ALPN, other_extensions=self.handshake_extensions
        )
        with tls.push_message(schedule, handshake_buf):
            tls.push_encrypted_extensions(handshake_buf, extensions)
        with tls.push_message(schedule, handshake_buf):
            tls.push_certificate_request(
                handshake_buf, tls.CertificateRequest(signature_algorithms=[MLDSA87])
            )
        self._push_own_certificate(handshake_buf, tls.SERVER_CONTEXT_STRING, b"")
        self._push_own_finished(handshake_buf)

        assert schedule.generation == 2, schedule.generation
        schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        self._next_dec_key = schedule.derive_secret(b"c ap traffic")
        self._set_state(tls.State.SERVER_EXPECT_CERTIFICATE)

    def _own_server_hello(self, share: bytes) -> tls.ServerHello:
        return tls.ServerHello(
            random=self.server_random,
            legacy_session_id=_some(self.legacy_session_id),
            cipher_suite=CIPHER_SUITE,
            compression_method=tls.CompressionMethod.NULL,
            key_share=(X25519MLKEM768, share),
            supported_version=tls.TLS_VERSION_1_3,
        )

    def _server_handle_certificate(self, input_buf: Buffer) -> None:
        super()._server_handle_certificate(input_buf)
        if self.state != tls.State.SERVER_EXPECT_CERTIFICATE_VERIFY:
            raise AlertCertificateRequired("the client sent no certificate")

    def _server_handle_certificate_verify(self, input_buf: Buffer) -> None:
        super()._server_handle_certificate_verify(input_buf)
        self._accept_peer()

    # --- both

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        if len(certificate.certificates) != 1:
            raise tls.AlertBadCertificate("exactly one certificate is expected")
        try:
            key, self.peer_process = read_certificate_untrusted(certificate.certificates[0][0])
        except BadSignature as error:
            raise tls.AlertUnsupportedCertificate(str(error)) from None
        except MalformedMessage as error:
            raise tls.AlertBadCertificate(str(error)) from None
        node_id = node_id_of(key)
        if not self._authorize(node_id):
            wrong = "answers, and not the one dialled" if self._is_client else "is not allowed here"
            raise AlertAccessDenied(f"node {short(node_id)} {wrong}")
        self._peer_key = key

    def _check_certificate_verify_signature(self, verify: tls.CertificateVerify) -> None:
        if verify.algorithm != MLDSA87:
            raise tls.AlertIllegalParameter("CertificateVerify is not ML-DSA-87")
        signer = tls.SERVER_CONTEXT_STRING if self._is_client else tls.CLIENT_CONTEXT_STRING
        try:
            _some(self._peer_key).verify(
                verify.signature, self._schedule().certificate_verify_data(signer)
            )
        except (InvalidSignature, ValueError):  # ValueError: a signature of another length
            raise tls.AlertDecryptError("CertificateVerify does not verify") from None

    def _accept_peer(self) -> None:
        self.peer = node_id_of(_some(self._peer_key))

    def _push_own_certificate(self, buf: Buffer, signer: bytes, request_context: bytes) -> None:
        schedule = self._schedule()
        certificate = tls.Certificate(
            request_context=request_context, certificates=[(self._credentials.certificate, b"")]
        )
        with tls.push_message(schedule, buf):
            tls.push_certificate(buf, certificate)
        signature = self._credentials.key.sign(schedule.certificate_verify_data(signer))
        with tls.push_message(schedule, buf):
            tls.push_certificate_verify(
                buf, tls.CertificateVerify(algorithm=MLDSA87, signature=signature)
            )

    def _push_own_finished(self, buf: Buffer) -> None:
        schedule = self._schedule()
        verify_data = schedule.finished_verify_data(_some(self._enc_key))
        with tls.push_message(schedule, buf):
            tls.push_finished(buf, tls.Finished(verify_data=verify_data))

    def _schedule(self) -> tls.KeySchedule:
        return _some(self.key_schedule)


def _our_share(hello: tls.ClientHello) -> bytes:
    """Return the client's key share for our group. Raises: tls.Alert, naming what it lacks."""
    if tls.TLS_VERSION_1_3 not in (hello.supported_versions or ()):
        raise tls.AlertProtocolVersion("the client does not offer TLS 1.3")
    if CIPHER_SUITE not in hello.cipher_suites:
        raise tls.AlertHandshakeFailure("the client does not offer AES-256-GCM")
    if tls.CompressionMethod.NULL not in hello.legacy_compression_methods:
        raise tls.AlertIllegalParameter("the client does not offer to leave out compression")
    if MLDSA87 not in (hello.signature_algorithms or ()):
        raise tls.AlertHandshakeFailure("the client does not offer ML-DSA-87")
    if ALPN not in (hello.alpn_protocols or ()):
        raise tls.AlertNoApplicationProtocol(f"the client does not offer {ALPN}")
    for group, share in hello.key_share or ():
        if group == X25519MLKEM768:
            return bytes(share)
    # No HelloRetryRequest: every node of ours sends this share unasked.
    raise tls.AlertHandshakeFailure("the client does not offer X25519MLKEM768")


def _some(value: _T | None) -> _T:
    assert value is not None
    return value
