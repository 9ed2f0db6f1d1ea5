"""A headless Chromium, by the WebDriver protocol and the standard library alone."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from urllib.request import Request, urlopen

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
)
PATIENCE = 60.0  # seconds, for chromedriver to answer and for a page to be typeset


def missing():
    """Name the programs that are not installed."""
    wanted = ("chromium", "chromedriver")
    return [name for name in wanted if shutil.which(name) is None]


class Page:
    """A browser window, one page at a time."""

    def __init__(self, address, profile):
        self._address = address
        options = {
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "binary": shutil.which("chromium"),
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/session/{made['sessionId']}"

    def _ask(self, path, data=None, method=None):
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self._address + path, body, headers, method=method)
        with urlopen(request, timeout=2 * PATIENCE) as answer:
            return json.load(answer)["value"]

    def devtools(self, command, **parameters):
        """Send a command of the DevTools protocol."""
        data = {"cmd": command, "params": parameters}
        return self._ask("/goog/cdp/execute", data)

    def resize(self, width, height=900):
        """Make the window as large as this, in pixels."""
        phone = {"deviceScaleFactor": 1, "mobile": width < 600}
        size = {"width": width, "height": height}
        self.devtools("Emulation.setDeviceMetricsOverride", **size, **phone)

    def open(self, url, width=1366, height=900, dark=False):
        """Go to a page, in a window of this size."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("/url", {"url": url})
        self.wait_for("document.readyState === 'complete'")

    def run(self, script):
        """Return the value of an expression of JavaScript."""
        return self._ask("/execute/sync", {"script": f"return {script}", "args": []})

    def wait_for(self, condition):
        """Wait until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.run(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def errors(self):
        """Messages of the console that are errors, since the last call."""
        entries = self._ask("/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] == "SEVERE"]

    def screenshot(self, path, whole=True):
        """Write a PNG of the page, all of its length or what a window shows."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        """End the browser."""
        self._ask("", method="DELETE")


@contextmanager
def browser():
    """Start chromedriver and a browser with an empty profile; end both."""
    driver = subprocess.Popen(
        [shutil.which("chromedriver"), "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in driver.stdout:
            if "successfully" in line:
                port = line.rsplit(maxsplit=1)[-1].rstrip(".")
                break
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            page = Page(f"http://127.0.0.1:{port}", profile)
            try:
                yield page
            finally:
                page.close()
    finally:
        driver.terminate()
        driver.communicate()
