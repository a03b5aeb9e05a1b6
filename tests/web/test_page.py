"""The demo in a real browser: photos in, compared, and out again, with nothing fetched from elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import Mio, load, save
from tests.web.conftest import Demo, running

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium chromium-driver"
)


class Page:
    """The page as a person sees and uses it."""

    def __init__(self, driver: webdriver.Chrome, demo: Demo, downloads: Path) -> None:
        self.driver, self.demo, self.downloads = driver, demo, downloads

    def open(self) -> None:
        self.driver.get(self.demo.url)
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, "#tasks input"))

    def wait(self, done: Callable[[], object], seconds: float = 180) -> None:
        WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda driver: done())

    def part(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return self.part(name).text

    def choose(self, task: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, f"input[value={task}] + span").click()

    def add(self, *photos: Path) -> None:
        self.part("files").send_keys("\n".join(map(str, photos)))

    def select(self, name: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, f"#photos button[title='{name}']").click()

    def wait_restored(self, *passes: str) -> None:
        self.wait(lambda: self.text("status").startswith(", then ".join(passes) + " ·"))
        # Pictures are decoded a little later.
        self.wait(
            lambda: self.driver.execute_script("return [before, after].every((image) => image.naturalWidth)")
        )

    def set_range(self, where: WebElement, value: int) -> None:
        """Move a slider of 0 to 100 as a keyboard does: to an end, and then step by step."""
        steps = [Keys.HOME, *[Keys.ARROW_RIGHT] * value]
        where.send_keys(*(steps if value <= 50 else [Keys.END, *[Keys.ARROW_LEFT] * (100 - value)]))

    def drag_line(self, share: float) -> None:
        """Take the line between before and after to this share of the width."""
        stage = self.driver.find_element(By.CSS_SELECTOR, ".stage")
        drag = ActionChains(self.driver).move_to_element(stage).click_and_hold()
        drag.move_by_offset(round((share - 0.5) * stage.size["width"]), 0).release().perform()

    def cut(self) -> float:
        """Where the line stands, in percent of the width, as the eye sees it."""
        return self.driver.execute_script(
            """
            const line = document.querySelector(".line").getBoundingClientRect();
            const stage = document.querySelector(".stage").getBoundingClientRect();
            return 100 * (line.x + line.width / 2 - stage.x) / stage.width;
            """
        )

    def seen(self, part: str = ".stage") -> np.ndarray:
        """What the comparison shows, uint8 H×W×3."""
        stage = self.driver.find_element(By.CSS_SELECTOR, part)
        return np.asarray(Image.open(BytesIO(stage.screenshot_as_png)).convert("RGB"))

    def touch(self, *places: tuple[float, float]) -> None:
        """Put a finger down, move it over these places of the window, and lift it."""
        for kind, points in (
            ("Start", places[:1]), *(("Move", [place]) for place in places[1:]), ("End", []),
        ):  # fmt: skip
            points = [{"x": x, "y": y} for x, y in points]
            self.driver.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points}
            )

    def drop(self, *paths: Path) -> None:
        """Drop files and folders, as from a file manager."""
        at = self.part("drop").rect
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            place = {"x": at["x"] + 20, "y": at["y"] + 20}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "data": data, **place})

    def download(self) -> bytes:
        self.part("download").click()
        name = self.part("download").get_attribute("download")
        self.wait(lambda: (self.downloads / name).is_file())
        data = (self.downloads / name).read_bytes()
        (self.downloads / name).unlink()
        return data

    def network(self, event: str) -> list[dict[str, Any]]:
        """What the browser noted of an event since it was last asked for any."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [message["params"] for message in messages if message["method"] == f"Network.{event}"]


EVIL = "evil.example"
"""A website's name that its owner has pointed at this machine."""


@pytest.fixture(scope="module")
def browser(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1200,1000",
                     f"host-resolver-rules=MAP {EVIL} 127.0.0.1"):  # fmt: skip
        options.add_argument(f"--{argument}")
    several = "profile.default_content_setting_values.automatic_downloads"
    prefs = {"download.default_directory": str(downloads), several: 1}
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Without a driver beside the browser, selenium looks for one itself.
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield Page(driver, demo, downloads)
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page, freshly opened; it must have been quiet and must have asked nobody but the demo."""
    browser.network("")  # forget what was before
    browser.open()
    yield browser
    assert [entry["message"] for entry in browser.driver.get_log("browser")] == []
    asked = [sent["request"]["url"] for sent in browser.network("requestWillBeSent")]
    assert asked
    inside = (f"{browser.demo.url}/", f"blob:{browser.demo.url}/")
    assert [url for url in asked if not url.startswith(inside)] == []


def roughness(photo: np.ndarray) -> float:
    """How much noise there is."""
    return float(cv2.Laplacian(np.ascontiguousarray(photo), cv2.CV_32F).std())


def test_auto_compare_and_download(page: Page, mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "my photo.jpg", quality=95, subsampling=0)
    page.add(photo)
    page.wait_restored("Noise")
    first = page.driver.find_element(By.CSS_SELECTOR, "#shares dt").text
    assert first == "Noise", "the likeliest comes first"
    # The right three fifths are restored, then hardly a tenth.
    height, width = noisy.shape[:2]
    area = slice(0, height - 40), slice(int(0.5 * width), int(0.85 * width))
    page.drag_line(0.4)
    restored = page.seen()[area]
    page.drag_line(0.9)
    original = page.seen()[area]
    assert roughness(restored) < 0.6 * roughness(original)
    assert np.abs(original.astype(int) - load(photo)[area]).mean() < 3, "left of the line is the original"
    mio("restore", photo)
    assert page.download() == (tmp_path / "my photo.restored.jpg").read_bytes()
    assert page.text("command") == "mio restore 'my photo.jpg'"


def test_every_control_says_what_the_command_line_says(
    page: Page, mio: Mio, noisy: np.ndarray, tmp_path: Path
) -> None:
    photo = save(noisy[:64, :96], tmp_path / "photo.png")
    page.choose("mix")
    assert not page.part("again").is_enabled()
    for task, share in {"rain": 10, "sr": 20}.items():
        page.set_range(page.driver.find_element(By.CSS_SELECTOR, f"#mix input[data-task={task}]"), share)
    page.part("scale").send_keys("2")
    page.set_range(page.part("strength"), 90)
    assert page.text("command") == "mio restore photo.jpg --task rain=10,sr=20 --strength 0.9 --scale 2"
    page.add(photo)
    page.wait_restored("Rain 33% + Low resolution 67%")
    words = page.text("command").replace("photo.jpg", "photo.png").split()[3:]
    assert mio("restore", photo, *words).returncode == 0
    assert page.download() == (tmp_path / "photo.restored.png").read_bytes()
    for mode, passes in (("adaptive", "Adaptive"), ("lowlight", "Low light"), ("auto", "Noise")):
        page.choose(mode)
        page.part("again").click()
        page.wait_restored(passes)
    mio("restore", photo, "--strength", 0.9)
    assert page.download() == (tmp_path / "photo.restored.png").read_bytes()


def test_several_files_one_of_them_bad(
    page: Page, noisy: np.ndarray, clean: np.ndarray, tmp_path: Path
) -> None:
    save(noisy, tmp_path / "a.png")
    (tmp_path / "bad.jpg").write_text("not a photo")
    save(clean, tmp_path / "clean.jpg", quality=97, subsampling=0)
    page.drop(*sorted(tmp_path.iterdir()))
    page.wait_restored("Noise")
    page.select("bad.jpg")
    page.wait(lambda: page.text("status") == "failed")
    assert page.text("error").startswith("bad.jpg: is not a photo that mio can read → ")
    assert not page.part("compare").is_displayed()
    page.select("clean.jpg")
    page.wait_restored("Clean, nothing to restore")
    assert page.download() == (tmp_path / "clean.jpg").read_bytes()
    page.part("remove").click()
    page.part("remove").click()
    page.wait_restored("Noise")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#photos li")) == 1


def test_the_line_follows_mouse_finger_and_keys(page: Page, noisy: np.ndarray, tmp_path: Path) -> None:
    page.choose("noise")
    page.add(save(noisy, tmp_path / "a.png"))
    page.wait_restored("Noise")
    for share in (0.25, 1.0, 0.0, 0.5):
        page.drag_line(share)
        assert abs(page.cut() - 100 * share) < 1
    slider = page.part("slider")
    slider.send_keys(Keys.ARROW_LEFT * 10)
    assert abs(page.cut() - 40) < 1, "a step can be seen"
    slider.send_keys(Keys.END)
    assert page.cut() == 100
    assert slider.get_attribute("aria-valuetext") == "100 % before"
    stage = page.driver.execute_script("return document.querySelector('.stage').getBoundingClientRect()")
    x, y = stage["x"], stage["y"] + stage["height"] / 2
    page.touch((x + stage["width"] - 3, y), (x + 0.6 * stage["width"], y), (x + 0.3 * stage["width"], y))
    assert abs(page.cut() - 30) < 2


def test_full_size_shows_each_pixel_and_can_be_moved(page: Page, clean: np.ndarray, tmp_path: Path) -> None:
    large = cv2.resize(clean, (2100, 800), interpolation=cv2.INTER_CUBIC)
    page.choose("jpeg")
    page.set_range(page.part("strength"), 0)
    page.add(save(large, tmp_path / "large.png"))
    page.wait_restored("JPEG")
    page.part("zoom").click()
    box = page.part("compare")

    def shown() -> tuple[int, int]:
        return tuple(
            page.driver.execute_script("return [arguments[0].scrollLeft, arguments[0].scrollTop]", box)
        )

    def differs() -> float:
        left, top = shown()
        seen = page.seen("#compare").astype(int)[8:-60, 8:-60]
        height, width = seen.shape[:2]
        columns = np.abs(seen - large[top + 8 :, left + 8 :][:height, :width]).mean(axis=(0, 2))
        return float(np.percentile(columns, 95))  # without the line and its knob

    before = shown()
    assert differs() < 4, "both sides of the line are the photo, pixel by pixel"
    drag = ActionChains(page.driver).move_to_element_with_offset(box, 200, 150).click_and_hold()
    drag.move_by_offset(-150, -50).release().perform()
    assert shown() == (before[0] + 150, before[1] + 50), "beside the line one moves the photo"
    assert page.cut() == 50
    assert differs() < 4
    page.part("zoom").send_keys(Keys.TAB * 3)  # past Download and Remove
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    page.wait(lambda: shown()[0] < before[0] + 150, seconds=20)
    assert page.cut() == 50, "so do the keys, where the line has not the focus"


def test_a_folder_is_searched_and_all_are_restored_and_fetched(
    page: Page, mio: Mio, noisy: np.ndarray, tmp_path: Path
) -> None:
    for name in ("a.png", "b/c.png", "b/d/e.webp"):
        save(noisy[:64, :96], tmp_path / "holiday" / name)
    (tmp_path / "holiday" / "notes.txt").write_text("no photo")
    page.drop(tmp_path / "holiday")
    page.wait(lambda: page.text("count") == "3 of 3 done")
    page.choose("haze")
    page.part("all-again").click()
    page.wait(lambda: page.text("count") == "3 of 3 done" and page.text("status").startswith("Haze"))
    page.part("download-all").click()
    names = ["a.restored.png", "c.restored.png", "e.restored.webp"]
    page.wait(lambda: sorted(path.name for path in page.downloads.iterdir()) == names)
    mio("restore", tmp_path / "holiday", "--task", "haze", "-o", tmp_path / "out")
    for name in names:
        [expected] = (tmp_path / "out").rglob(name.replace(".restored", ""))
        assert (page.downloads / name).read_bytes() == expected.read_bytes()
        (page.downloads / name).unlink()
    page.part("remove-all").click()
    assert not page.part("photos").find_elements(By.TAG_NAME, "li")
    assert page.part("empty").is_displayed()


def test_limits_and_a_demo_that_has_ended_are_said(browser: Page, noisy: np.ndarray, tmp_path: Path) -> None:
    small = save(noisy[:96, :96], tmp_path / "small.png")
    (tmp_path / "large.jpg").write_bytes(bytes(3_000_000))
    with running(tmp_path / "t", "--max-upload", 1, "--max-photos", 1) as own:
        page = Page(browser.driver, own, browser.downloads)
        page.open()
        page.add(tmp_path / "large.jpg")
        page.wait(lambda: "large.jpg: 3 MB are more than the limit of 1 MB" in page.text("error"))
        page.part("remove").click()
        page.add(small, small)
        page.wait(lambda: page.text("count") == "2 of 2 done, 1 failed")
        page.driver.find_elements(By.CSS_SELECTOR, "#photos button")[1].click()
        assert "photos at once is 1" in page.text("error")
        assert "--max-photos" in page.text("error")
        page.part("remove").click()
        page.wait_restored("Noise")
    page.part("again").click()
    page.wait(lambda: "mio demo does not answer" in page.text("error"))
    browser.driver.get_log("browser")  # it notes the refusal, and that nobody answered


def test_a_model_of_ones_own_says_what_it_was_trained_on(browser: Page, tmp_path: Path) -> None:
    model = shutil.copytree(Path(__file__).parents[2] / "weights" / "mio-small", tmp_path / "my model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"tasks": ["noise", "jpeg"]}))
    with running(tmp_path / "t", "--model", model) as own:
        page = Page(browser.driver, own, browser.downloads)
        page.open()
        marked = page.driver.find_elements(By.CSS_SELECTOR, "#tasks .untrained")
        assert [label.text for label in marked] == ["Blur", "Rain", "Haze", "Low light", "Low resolution"]
        page.choose("noise")
        assert "trained" not in page.text("meaning")
        assert page.text("command") == f"mio restore photo.jpg --task noise --model '{model}'"
        page.choose("rain")
        assert page.text("meaning").endswith("This model was not trained on: Rain.")
        page.choose("mix")
        for task in ("haze", "jpeg", "sr"):
            page.set_range(page.driver.find_element(By.CSS_SELECTOR, f"#mix input[data-task={task}]"), 1)
        assert page.text("meaning").endswith("This model was not trained on: Haze, Low resolution.")


def test_every_control_has_a_name(page: Page, noisy: np.ndarray, tmp_path: Path) -> None:
    page.add(save(noisy[:64, :96], tmp_path / "a.png"), save(noisy[:64, :96], tmp_path / "b.png"))
    page.wait(lambda: page.text("count") == "2 of 2 done")
    page.choose("mix")
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    controls = {"button", "radio", "slider", "checkbox", "combobox", "link", "meter", "progressbar", "group"}
    assert [role for role, name in found if role in controls and not name.strip()] == []
    for named in (
        ("button", "a.png, Noise"), ("slider", "Line between before and after"), ("slider", "Strength"),
        ("meter", "Noise"), ("link", "Download"), ("radio", "Find out"), ("slider", "Low light"),
    ):  # fmt: skip
        assert any(role == named[0] and name.startswith(named[1]) for role, name in found), (named, found)


def test_closing_the_page_deletes_its_photos(page: Page, noisy: np.ndarray, tmp_path: Path) -> None:
    page.add(save(noisy, tmp_path / "a.png"))
    page.wait_restored("Noise")
    address = page.part("download").get_attribute("href")
    fetch = "return fetch(arguments[0]).then((answer) => answer.status)"
    assert page.driver.execute_script(fetch, address) == 200
    page.open()
    page.wait(lambda: page.driver.execute_script(fetch, address) == 404)
    page.driver.get_log("browser")  # the browser notes that there was a 404


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The address of another website."""
    (tmp_path / "index.html").write_text('<!doctype html><title>cats</title><link rel="icon" href="data:,">')
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{EVIL}:{server.server_port}/"
        server.shutdown()


def test_other_websites_cannot_use_the_demo(browser: Page, website: str) -> None:
    browser.driver.get(website)
    browser.network("responseReceived")
    results = browser.driver.execute_async_script(
        """
        const [demo, done] = arguments;
        const post = { method: "POST", body: "x" };
        const tries = [{}, { mode: "no-cors" }, post, { ...post, mode: "no-cors" }];
        const seen = (promise) => promise.then((answer) => answer.type, () => "blocked");
        Promise.all(tries.map((how) => seen(fetch(`${demo}/api/photos`, how)))).then(done);
        """,
        browser.demo.url,
    )
    assert results == ["blocked"] * 4
    answers = browser.network("responseReceivedExtraInfo")
    assert [answer["statusCode"] for answer in answers] == [403] * 4
    # The website's owner lets its name point to this machine (DNS rebinding).
    browser.driver.get(f"http://{EVIL}:{urlsplit(browser.demo.url).port}/")
    assert "this is no address of mio" in browser.driver.page_source
    browser.driver.get_log("browser")
