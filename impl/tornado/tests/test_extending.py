"""What a copier adds first works as Tornado's own documentation shows it."""

import json
import os
from http import HTTPStatus
from unittest import mock

from tornado.httputil import HTTPHeaders
from tornado.web import Application, HTTPError

from app.messages import BaseHandler
from tests.service import Account, ServiceTestCase

ORIGIN = "https://app.example"
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n%s\r\n--x--\r\n"
)


class FailsHandler(BaseHandler):
    def get(self, status: str) -> None:
        if retry_after := self.get_query_argument("retry_after", None):
            self.set_header("Retry-After", retry_after)
        raise HTTPError(int(status), "an internal detail")


class FormHandler(BaseHandler):
    def post(self) -> None:
        self.write({"text": self.get_body_argument("text")})


class UploadHandler(BaseHandler):
    def post(self) -> None:
        [file] = self.request.files["file"]
        self.write({"name": file.filename, "size": len(file.body)})


class ExtendingTest(ServiceTestCase):
    def setUp(self) -> None:
        self.enterContext(mock.patch.dict(os.environ))
        super().setUp()

    def get_app(self) -> Application:
        os.environ["CORS_ORIGINS"] = ORIGIN
        app = super().get_app()
        arguments = {"services": self.services}
        added = [
            (r"/fails/([0-9]+)", FailsHandler, arguments),
            (r"/form", FormHandler, arguments),
            (r"/upload", UploadHandler, arguments),
        ]
        app.add_handlers(".*", added)
        return app

    def expect_about_blank(self, path: str, status: int) -> HTTPHeaders:
        """Return the headers of a problem that the contract does not know."""
        response = self.call("GET", path)
        assert response.code == status
        assert response.headers["Content-Type"] == "application/problem+json"
        title = HTTPStatus(status).phrase
        problem = {"type": "about:blank", "title": title, "status": status}
        assert json.loads(response.body) == problem
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Request-ID"]
        return response.headers

    def test_an_error_the_contract_does_not_know_is_about_blank(self) -> None:
        for status in (400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503):
            self.expect_about_blank(f"/fails/{status}", status)

    def test_an_error_keeps_its_own_headers(self) -> None:
        for status in (429, 503):
            headers = self.expect_about_blank(f"/fails/{status}?retry_after=30", status)
            assert headers["Retry-After"] == "30"

    def test_a_page_of_an_allowed_origin_may_read_every_answer(self) -> None:
        for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
            response = self.call("GET", path, headers={"Origin": ORIGIN})
            assert response.code == status
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
            assert "Origin" in response.headers["Vary"]
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
        asked = self.call("OPTIONS", "/items/1", headers=preflight)
        other = self.call("GET", "/healthz", headers={"Origin": "https://evil.example"})
        assert asked.code == 204
        assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Origin" not in other.headers

    def test_a_form_is_parsed(self) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        response = self.call("POST", "/form", b"text=a+b", form)
        assert json.loads(response.body) == {"text": "a b"}
        missing = self.call("POST", "/form", b"", form)
        assert (missing.code, json.loads(missing.body)["type"]) == (400, "about:blank")

    def test_a_file_is_uploaded_up_to_the_limit_of_bodies(self) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        uploaded = self.call("POST", "/upload", MULTIPART % (b"a" * 60_000), headers)
        assert json.loads(uploaded.body) == {"name": "a.txt", "size": 60_000}
        too_large = self.call("POST", "/upload", MULTIPART % (b"a" * 70_000), headers)
        assert too_large.code == 413
        assert json.loads(too_large.body)["type"] == "/problems/content-too-large"

    def test_a_form_is_no_item(self) -> None:
        ada = Account(self, "ada@example.org")
        headers = {**ada.headers, "Content-Type": "multipart/form-data; boundary=x"}
        assert self.call("POST", "/items", b"--y", headers).code == 415
