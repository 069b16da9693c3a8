"""Opens a report in headless Chromium: no error, no request to anywhere, hostile text is text, it fits a phone.

    report_browser.py PROGRAM [WORKSPACE] [--shots DIR]

Without a workspace one is made whose examples, answers, votes and notes hold what must not get through. Needs Chromium
(Debian: chromium; CHROMIUM names another) and nothing but Python. With --shots the pictures are kept: desktop, dark,
phone, and the print as PDF. Prints one line a check; exit 1 when one failed.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HOSTILE = (
    "</div></section><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'single' "
    "\x1b[31mred\x1b]0;title\x07 \u202eright to left\u202c \x9b31m \u2066x\u2069 ]]> --> `` ``` <!-- "
    "[link](javascript:alert(3)) http://example.com/pixel.png"
)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


class Browser:
    """Chromium's DevTools protocol over two pipes."""

    def __init__(self, folder):
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()

        def wire():
            # both may be 3 or 4 already: out of the way first
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 13), os.dup2(b, 14)
            os.dup2(13, 3), os.dup2(14, 4)

        self.process = subprocess.Popen(
            [os.environ.get("CHROMIUM", "chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir=" + folder, "about:blank"],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(to_write)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None

    def message(self):
        while b"\0" not in self.buffer:
            more = os.read(self.read, 1 << 16)
            if not more:
                sys.exit("Chromium ended")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, **params):
        self.number += 1
        ask = {"id": self.number, "method": method, "params": params}
        if self.session:
            ask["sessionId"] = self.session
        os.write(self.write, json.dumps(ask).encode() + b"\0")
        while True:
            got = self.message()
            if got.get("id") == self.number:
                if "error" in got:
                    sys.exit("%s: %s" % (method, got["error"]))
                return got["result"]
            self.events.append(got)

    def attach(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def open(self, url):
        self.events = []
        self.call("Page.navigate", url=url)
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self.message())

    def value(self, script):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def close(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(30)


def tunesmith(program, *args):
    subprocess.run([program, *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def hostile_workspace(program, folder):
    """A workspace with two sides; the texts go past import, straight into the database, as another program might."""
    workspace = os.path.join(folder, "<b>hostile</b> & co")
    rows = os.path.join(folder, "rows<i>.jsonl")
    plain = "".join(c for c in HOSTILE if c != "\0")
    with open(rows, "w", encoding="utf-8") as f:
        f.write(json.dumps({"instruction": plain, "input": "", "output": plain}) + "\n")
    tunesmith(program, "init", workspace)
    tunesmith(program, "import", workspace, rows)
    tunesmith(program, "set", workspace, "--where", "status=new", "--status", "accepted")
    db = sqlite3.connect(os.path.join(workspace, "tunesmith.db"))
    asked = json.dumps([{"role": "user", "content": plain}])
    db.execute("INSERT INTO prompt VALUES(1,?,?,0)", (asked, plain))
    for number, side in enumerate(("base", "run:1<script>alert(4)</script>"), 1):
        detail = json.dumps({"stop": "<b>stop</b>", "tokens": 3, "passed": False})
        db.execute("INSERT INTO answer VALUES(?,1,?,?,?,0)", (number, side, plain + " %d" % number, detail))
    db.execute("INSERT INTO vote VALUES(1,0,'base',1,?)", (plain,))
    db.commit()
    db.close()
    return workspace


def count(what):
    return "document.querySelectorAll(%s).length" % json.dumps(what)


def check_page(browser, url, check):
    browser.open(url)
    problems = [e for e in browser.events
                if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")]
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    check("no console message", not problems, problems[:1])
    check("nothing is asked for but the file and its empty icon",
          all(u == url or u == "data:," for u in asked), asked)
    made = browser.value(count("script,img,iframe,object,embed,form,link:not([rel=icon]),[onerror],[onload]"))
    check("no element that runs or fetches", made == 0, made)
    bad = browser.value("(document.documentElement.textContent.match("
                        "/[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/g)||[]).length")
    check("no control character, no direction mark", bad == 0, bad)
    links = browser.value("[...document.links].filter(a => !a.hash).length")
    check("links lead within the page only", links == 0, links)


def check_hostile(browser, check):
    text = browser.value("document.querySelector('#answers').innerText")
    for part in ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "^[[31mred", "<U+202E>right to left",
                 "<U+009B>31m", "[link](javascript:alert(3))", "run:1<script>alert(4)</script>"):
        check("shown as text: %s" % part, part in text)


def check_looks(browser, shots, check):
    for name, (width, height) in WIDTHS.items():
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                     mobile=name == "phone")
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
        wide = browser.value("document.documentElement.scrollWidth")
        check("%s: nothing is wider than the window" % name, wide <= width, wide)
        shot(browser, shots, name)
    light = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.value("getComputedStyle(document.body).backgroundColor")
    check("dark mode is another background", light != dark, [light, dark])
    shot(browser, shots, "dark")
    browser.call("Emulation.setEmulatedMedia", features=[])
    pdf = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    check("it prints", pdf.startswith(b"%PDF"))
    if shots:
        pathlib.Path(shots, "print.pdf").write_bytes(pdf)


def shot(browser, shots, name):
    if shots:
        data = browser.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")["data"]
        pathlib.Path(shots, name + ".png").write_bytes(base64.b64decode(data))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("workspace", nargs="?")
    parser.add_argument("--shots")
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    failed = []

    def check(what, good, found=None):
        print("%s  %s%s" % ("ok  " if good else "FAIL", what, "" if good or found is None else ": %s" % found))
        if not good:
            failed.append(what)

    folder = tempfile.mkdtemp(prefix="tunesmith-report-")
    if args.shots:
        os.makedirs(args.shots, exist_ok=True)
    workspace = args.workspace or hostile_workspace(program, folder)
    page = os.path.join(folder, "report.html")
    tunesmith(program, "report", workspace, page)
    browser = Browser(os.path.join(folder, "profile"))
    print(browser.call("Browser.getVersion")["product"])
    browser.attach()
    check_page(browser, pathlib.Path(page).as_uri(), check)
    if not args.workspace:
        check_hostile(browser, check)
    check_looks(browser, args.shots, check)
    browser.close()
    shutil.rmtree(folder, ignore_errors=True)
    print("%d failed" % len(failed))
    sys.exit(1 if failed else 0)


main()
