"""Looks at a page in Chromium as a person would have it: wide and narrow, light and dark, with axe-core's checks.

First argument: `room` (the second is its address) or `report` (the second is the file). Says `ready` once the page shows what it should;
`room` then waits for the line that the third argument is part of. Ends with 1 and the reasons if anything is wrong.
"""

import json
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

kind, address = sys.argv[1:3]
chromium, hostile = sys.argv[3:5]
WRONG = []


def said(page, name):
    """Anything that a page should never do is kept."""
    page.on("dialog", lambda dialog: (WRONG.append(f"{name}: a script ran: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: WRONG.append(f"{name}: {error}"))
    page.on("console", lambda line: line.type == "error" and WRONG.append(f"{name}: console: {line.text}"))
    page.on("request", lambda request: None if request.url.startswith((address.split("#")[0], "data:")) else WRONG.append(f"{name}: asked for {request.url}"))


def look(page, name):
    """Nothing wider than the window, and what axe-core calls serious or critical."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 0:
        WRONG.append(f"{name}: {wide} px wider than the window")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    WRONG.extend(f"{name}: {one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in serious)
    return len(found)


def until(page, text):
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=text, timeout=90000)


def unharmed(page, name):
    """Hostile text is there as text: nothing became an element."""
    for element in ("img", "script:not([src])", "iframe", "object", "svg[onload]", "b"):
        if kind == "room" and page.locator(element).count():
            WRONG.append(f"{name}: {page.locator(element).count()} x <{element}>")
    if page.evaluate("typeof window.harmed") != "undefined":
        WRONG.append(f"{name}: a script of the data ran")


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, timeout=120000, args=["--no-sandbox", "--disable-dev-shm-usage"])
    violations, times = 0, []
    pages = []
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            name = f"{scheme} {width}"
            # The checks are a script of their own, which the page's policy would refuse.
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
            context.set_default_timeout(90000)
            page = context.new_page()
            said(page, name)
            page.goto(address)
            if kind == "room":
                until(page, "Resumed")
            times.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            violations += look(page, name)
            pages.append((name, page))
    # As it is served, with its policy: nothing of it is refused, and nothing else is let in.
    page = browser.new_context().new_page()
    said(page, "own policy")
    page.goto(address)
    if kind == "room":
        until(page, "Resumed")
        print("ready", flush=True)
        for name, one in [*pages, ("own policy", page)]:
            until(one, hostile)
            unharmed(one, name)
            look(one, f"{name}, open") if one is not page else None
        other = browser.new_context().new_page()
        other.goto(address.split("#")[0])
        until(other, "open the address that was printed")
        if hostile in other.inner_text("body"):
            WRONG.append("without the token, the page tells of the case")
    else:
        until(page, hostile)
        unharmed(page, "own policy")
        page.emulate_media(media="print")
        if not page.locator("h1").first.is_visible():
            WRONG.append("print: no heading")
        # By the keyboard alone: the first stop is a link, and each stop can be seen.
        page.emulate_media(media="screen")
        for _ in range(5):
            page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_be_visible()
    print(json.dumps({"violations": violations, "load_ms": sorted(times), "wrong": WRONG}))
    browser.close()
sys.exit(1 if WRONG else 0)
