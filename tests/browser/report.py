"""Opens a report in a real browser, as a user does: from its file, with nothing else running.

    pip install selenium pillow
    python tests/browser/report.py target/release/coreg [folder for screenshots]

Needs chromium and its driver (Debian: chromium, chromium-driver). Makes a small set of images whose class names are hostile
or written from right to left, runs the pipeline on votes of its own, and fails if the page asks for anything from elsewhere,
has an error, hides a name, does not open a confusion's pictures, or scrolls sideways on a phone.
"""
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from selenium import webdriver
from selenium.webdriver.common.by import By

COREG = Path(sys.argv[1]).resolve()
SHOTS = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
CLASSES = ["<script>alert(1)</script>", "森林", "غابة", 'a "quoted" & long name of a class, longer than most']
SMALL = (
    "optimizer.budget=0 optimizer.horizon=3 warm-up.epochs=1 co-reg.epochs=2 warm-up.batch=32 co-reg.batch_partial=32 "
    "network.width=8 baselines=['distill'] distill.epochs=1"
)


def draw(kind: int, rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (48, 40), tuple(rng.randrange(160, 256) for _ in range(3)))
    canvas, colour = ImageDraw.Draw(image), tuple(rng.randrange(0, 120) for _ in range(3))
    x, y = rng.randrange(2, 18), rng.randrange(2, 12)
    box = (x, y, x + 26, y + 24)
    [canvas.ellipse, canvas.rectangle, lambda b, fill: canvas.polygon([(b[0], b[3]), (b[2], b[3]), (b[0], b[1])], fill=fill),
     lambda b, fill: canvas.line(b, fill=fill, width=4)][kind](box, fill=colour)
    return image


def make(folder: Path) -> None:
    """Images, their true classes, and three annotators who are right in two of three."""
    rng = random.Random(5)
    rows, votes = ["file_name,label,split"], ["id,annotator,class"]
    quote = lambda text: '"' + text.replace('"', '""') + '"'
    for i in range(240):
        kind, split = i % 4, "train" if i < 160 else "test"
        name = f"{split}_{i:03}.png"
        draw(kind, rng).save(folder / name)
        rows.append(f"{name},{quote(CLASSES[kind])},{split}")
        for annotator in range(3):
            said = kind if rng.random() < 0.67 else rng.randrange(4)
            votes.append(f"{name},m{annotator},{quote(CLASSES[said])}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder.parent / "votes.csv").write_text("\n".join(votes) + "\n", encoding="utf-8")


def open_browser(width: int, height: int, dark: bool = False) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]:
        options.add_argument(argument)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # What is installed, not what selenium would look for on the network.
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    )
    return browser


def asked_for(browser: webdriver.Chrome) -> set[str]:
    """Every address that the page asked for."""
    addresses = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            addresses.add(message["params"]["request"]["url"])
    return addresses


def check(page: Path, shots: Path | None) -> None:
    address = page.resolve().as_uri()
    for name, width, height, dark in [("desk", 1280, 900, False), ("dark", 1280, 900, True), ("phone", 375, 700, False)]:
        browser = open_browser(width, height, dark)
        try:
            browser.get(address)
            elsewhere = [a for a in asked_for(browser) if not a.startswith(("data:", address, "chrome-extension:"))]
            assert not elsewhere, f"the page asks for {elsewhere}"
            text = browser.execute_script("return document.body.textContent")
            for name_of_class in CLASSES:
                assert name_of_class in text, f"{name_of_class} is not on the page"
            assert browser.execute_script("return document.scripts.length") == 0
            wide = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert wide[0] <= wide[1], f"{name}: the page is {wide[0]} px wide in a window of {wide[1]}"
            pictures = browser.find_elements(By.CSS_SELECTOR, ".picture .image")
            assert len(pictures) > 40, f"only {len(pictures)} pictures"
            assert all(picture.get_attribute("aria-label") for picture in pictures), "a picture says nothing to a screen reader"
            cells = browser.find_elements(By.CSS_SELECTOR, "table.matrix a[href^='#c-']")
            links = cells or browser.find_elements(By.CSS_SELECTOR, "a[href^='#c-']")
            assert links, "no confusion can be clicked"
            target = browser.find_element(By.ID, links[0].get_attribute("href").split("#", 1)[1])
            assert not target.is_displayed(), "a confusion's pictures are shown before they are asked for"
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", links[0])
            links[0].click()
            assert target.is_displayed(), "a click on a confusion shows nothing"
            shown = target.find_elements(By.CSS_SELECTOR, ".picture .image")
            assert shown and shown[0].size["width"] >= 32, "a confusion has no pictures"
            background = browser.execute_script("return getComputedStyle(arguments[0]).backgroundImage", shown[0])
            assert background.startswith('url("data:image'), background[:40]
            errors = [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
            assert not errors, errors
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                whole = browser.execute_script("return document.documentElement.scrollHeight")
                browser.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": min(whole, 12000), "deviceScaleFactor": 1, "mobile": width < 500},
                )
                browser.save_screenshot(str(shots / f"{name}.png"))
            print(f"{name}: {len(pictures)} pictures, {len(cells)} cells, nothing from elsewhere, no error")
        finally:
            browser.quit()


with tempfile.TemporaryDirectory() as folder:
    images = Path(folder) / "images"
    images.mkdir()
    make(images)
    run = [COREG, "--artifacts", f"{folder}/artifacts", "run", "--images", images, "--name", "browser", "--votes",
           f"{folder}/votes.csv", "--set", SMALL]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    page = Path(folder) / "artifacts/browser/report/index.html"
    print(f"{page.name}: {page.stat().st_size / 1e6:.2f} MB")
    check(page, SHOTS)
