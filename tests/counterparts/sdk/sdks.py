"""google-auth and google-api-python-client against the simulators of Google.

Takes the description of the simulators on standard input and writes one suite a line on standard output.
"""

import base64
import json
import sys
import urllib.parse
import urllib.request

import google.auth.exceptions
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

SIMULATORS = json.load(sys.stdin)
ENDPOINTS, ENVIRONMENT, CONTROL = (SIMULATORS[name] for name in ("endpoints", "environment", "control"))
SCOPES = [f"https://www.googleapis.com/auth/{name}" for name in ("drive", "spreadsheets", "cloud-platform")]


class Suite:
    """The calls that were tried with one SDK."""

    def __init__(self, sdk):
        self.sdk, self.tried, self.untried = sdk, [], []

    def check(self, call):
        """Runs the decorated check; a failure is noted and the others go on."""

        def run(check):
            entry = {"call": call}
            self.tried.append(entry)
            try:
                check()
            except Exception as error:  # every failure belongs into the table
                entry["failure"] = f"{type(error).__name__}: {error}"[:600]

        return run

    def cannot(self, call, why):
        self.untried.append({"call": call, "why": why})

    def report(self):
        print(json.dumps({"sdk": self.sdk, "tried": self.tried, "untried": self.untried}))


def control(method, path, body=None):
    request = urllib.request.Request(CONTROL["url"] + path, method=method, data=body and json.dumps(body).encode())
    request.add_header(CONTROL["header"], CONTROL["token"])
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def fault(api, kind, **more):
    control("POST", "/faults", {"api": api, "kind": kind, "remaining": 1, **more})


def refusal(call, kind=HttpError):
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"it was not refused: {answer!r:.200}")


def same(found, wanted):
    assert found == wanted, f"{found!r:.300} is not {wanted!r:.300}"


def key_file():
    with open(ENVIRONMENT["GOOGLE_SERVICE_ACCOUNT_KEY"], encoding="utf-8") as file:
        return {**json.load(file), "token_uri": ENDPOINTS["google_token"]}


def service(info=None, scopes=None):
    return service_account.Credentials.from_service_account_info(info or key_file(), scopes=scopes or SCOPES)


def origin(endpoint):
    parts = urllib.parse.urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}/"


def api(name, version, endpoint, credentials=None):
    options = {"api_endpoint": endpoint}
    return build(name, version, credentials=credentials or service(), static_discovery=True, client_options=options)


def google_auth():
    suite = Suite("google-auth")

    @suite.check("a service account's JWT becomes an access token")
    def _():
        credentials = service()
        credentials.refresh(Request())
        assert credentials.valid and credentials.token.startswith("ya29.")

    @suite.check("a refresh token becomes an access token")
    def _():
        credentials = user_credentials.Credentials(
            None,
            refresh_token=ENVIRONMENT["GOOGLE_REFRESH_TOKEN"],
            client_id=ENVIRONMENT["GOOGLE_CLIENT_ID"],
            client_secret=ENVIRONMENT["GOOGLE_CLIENT_SECRET"],
            token_uri=ENDPOINTS["google_token"],
        )
        credentials.refresh(Request())
        assert credentials.valid

    for name, change, words in [
        ("another account", {"client_email": "x@example.iam.gserviceaccount.com"}, "account not found"),
        ("a key that is gone", {"private_key_id": "0" * 40}, "Invalid JWT Signature"),
    ]:

        @suite.check(f"invalid_grant, {name}")
        def _():
            error = refusal(lambda: service({**key_file(), **change}).refresh(Request()), google.auth.exceptions.RefreshError)
            assert "invalid_grant" in str(error) and words in str(error), error

    @suite.check("the library's own retry after a 503 of the token endpoint")
    def _():
        fault("google", "serverError", status=503)
        credentials = service()
        credentials.refresh(Request())
        assert credentials.valid

    return suite


def drive():
    suite = Suite("google-api-python-client: drive")
    files = api("drive", "v3", ENDPOINTS["drive"] + "/").files()
    made = {}

    @suite.check("files.create, get, update, trash, restore, delete")
    def _():
        body = {"name": "python.txt", "mimeType": "text/plain"}
        made["id"] = files.create(body=body, fields="id", supportsAllDrives=True).execute()["id"]
        for trashed in (True, False):
            files.update(fileId=made["id"], body={"trashed": trashed}, supportsAllDrives=True).execute()
            same(control("GET", "/contents/drive")["files"][made["id"]]["trashed"] is not None, trashed)
        same(files.get(fileId=made["id"], fields="name,trashed", supportsAllDrives=True).execute()["trashed"], False)
        files.delete(fileId=made["id"], supportsAllDrives=True).execute()
        assert made["id"] not in control("GET", "/contents/drive")["files"]

    @suite.check("files.list, list_next")
    def _():
        request, names = files.list(pageSize=3, fields="nextPageToken,files(id)"), []
        while request is not None:
            answer = request.execute()
            names += [file["id"] for file in answer["files"]]
            request = files.list_next(request, answer)
        same(len(names), len(set(names)))
        assert len(names) > 3

    @suite.check("404, notFound")
    def _():
        error = refusal(lambda: files.get(fileId="1NotThere").execute())
        same((error.resp.status, error.error_details[0]["reason"]), (404, "notFound"))

    @suite.check("too many requests, which Drive says with 403")
    def _():
        fault("drive", "rateLimited", retryAfterSecs=7)
        error = refusal(lambda: files.list().execute())
        same((error.resp.status, error.error_details[0]["reason"]), (403, "userRateLimitExceeded"))

    @suite.check("the client's own retry after a 503")
    def _():
        fault("drive", "serverError", status=503)
        assert files.list(pageSize=1).execute(num_retries=1)["files"]

    suite.cannot("uploads", "the client insists on https for them; @googleapis/drive does it above")
    return suite


def sheets():
    suite = Suite("google-api-python-client: sheets")
    spreadsheets = api("sheets", "v4", origin(ENDPOINTS["sheets"])).spreadsheets()
    book = ENVIRONMENT["SHEETS_LOG_SPREADSHEET_ID"]

    @suite.check("spreadsheets.get, batchUpdate, values.append, get, update, clear")
    def _():
        assert spreadsheets.get(spreadsheetId=book).execute()["sheets"]
        requests = [{"addSheet": {"properties": {"title": "Python"}}}]
        spreadsheets.batchUpdate(spreadsheetId=book, body={"requests": requests}).execute()
        values, where = spreadsheets.values(), {"spreadsheetId": book, "range": "Python!A:B"}
        typed = {"valueInputOption": "USER_ENTERED"}
        for row in (["a", 1], ["b", "=B1*2"]):
            values.append(**where, **typed, body={"values": [row]}).execute()
        same(values.get(**where).execute()["values"], [["a", "1"], ["b", "2"]])
        values.update(spreadsheetId=book, range="Python!B1", **typed, body={"values": [[4]]}).execute()
        same(values.get(**where).execute()["values"][1], ["b", "8"])
        values.clear(spreadsheetId=book, range="Python!A2:B2", body={}).execute()
        same(len(values.get(**where).execute()["values"]), 1)

    for status, kind, more in [(403, "forbidden", {}), (429, "rateLimited", {"retryAfterSecs": 7}), (503, "serverError", {"status": 503})]:

        @suite.check(str(status))
        def _():
            fault("sheets", kind, **more)
            same(refusal(lambda: spreadsheets.get(spreadsheetId=book).execute()).resp.status, status)

    return suite


def iam():
    suite = Suite("google-api-python-client: iam")
    email, project = key_file()["client_email"], key_file()["project_id"]
    account = f"projects/{project}/serviceAccounts/{email}"
    client = lambda credentials=None: api("iam", "v1", origin(ENDPOINTS["google_iam"]), credentials).projects().serviceAccounts().keys()
    keys, made = client(), {}

    @suite.check("keys.create, and a token with the new key")
    def _():
        made.update(keys.create(name=account, body={}).execute())
        file = json.loads(base64.b64decode(made["privateKeyData"]))
        service(file).refresh(Request())

    @suite.check("keys.list, get")
    def _():
        listed = keys.list(name=account, keyTypes=["USER_MANAGED"]).execute()["keys"]
        assert made["name"] in [key["name"] for key in listed]
        same(keys.get(name=made["name"]).execute()["validAfterTime"], made["validAfterTime"])

    @suite.check("keys.disable, enable, and what the key is worth")
    def _():
        file = json.loads(base64.b64decode(made["privateKeyData"]))
        keys.disable(name=made["name"], body={}).execute()
        same(keys.get(name=made["name"]).execute()["disabled"], True)
        refusal(lambda: service(file).refresh(Request()), google.auth.exceptions.RefreshError)
        keys.enable(name=made["name"], body={}).execute()
        service(file).refresh(Request())

    @suite.check("keys.delete")
    def _():
        keys.delete(name=made["name"]).execute()
        same(refusal(lambda: keys.get(name=made["name"]).execute()).resp.status, 404)

    @suite.check("429 at ten keys")
    def _():
        extra = []
        while len(keys.list(name=account).execute()["keys"]) < 10:
            extra.append(keys.create(name=account, body={}).execute()["name"])
        same(refusal(lambda: keys.create(name=account, body={}).execute()).resp.status, 429)
        for name in extra:
            keys.delete(name=name).execute()

    @suite.check("403, a token without the scope")
    def _():
        narrow = client(service(scopes=SCOPES[:1]))
        same(refusal(lambda: narrow.list(name=account).execute()).resp.status, 403)

    @suite.check("404, another account")
    def _():
        same(refusal(lambda: keys.list(name=f"projects/{project}/serviceAccounts/x@y.z").execute()).resp.status, 404)

    return suite


for suite in (google_auth, drive, sheets, iam):
    suite().report()
