"""A pool's page in a real Chromium: stages, verdict, progress, charts, line, history, plan."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.ui.static import page_answers as answers
from tests.ui.static.conftest import Open
from tests.ui.static.page_site import Site

pytestmark = pytest.mark.browser


def test_the_strip_shows_each_stage_in_words_and_with_its_duration(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    groups = page.locator(".group-name").all_inner_texts()
    assert [name.split("\n")[0].strip() for name in groups] == ["Checks", "Image", "Canary", "Pool", "Roll back"]
    stage = page.locator(".strip [data-key='pool.resize']")
    expect(stage).to_contain_text("failed · 12 min · 3 tries")
    expect(page.locator(".strip [data-key='image.snapshot']")).to_contain_text("done · 1 min 45 s")
    expect(page.locator(".strip [data-key='pool.nodes']")).to_contain_text("not reached")
    expect(page.locator(".strip [data-key='canary.mark_bad']")).to_contain_text("not needed")
    assert (
        stage.get_by_role("link").get_attribute("href").endswith("/dags/golden_pool_nightly/runs/r/tasks/pool.resize")
    )


def test_a_verdict_says_what_azure_answered_and_what_to_do(open_page: Open) -> None:
    box = open_page("#/pools/nightly").locator("[data-key=verdict]")
    expect(box).to_contain_text("Gave up: the quota for dedicated cores of the account is used up.")
    expect(box).to_contain_text("AccountCoreQuotaReached")
    expect(box).to_contain_text("What to do: Ask Azure for 32 more cores, or lower pool.targets.dedicated to 12.")


def test_what_the_verdict_says_is_not_said_twice(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["row"]["why"] = "gave up: the quota for dedicated cores of the account is used up."
    found["run"]["verdict"]["answer"] = "used up"
    site.answers["pools/nightly"] = found
    page = open_page("#/pools/nightly")
    expect(page.get_by_text("the quota for dedicated cores")).to_have_count(1)
    expect(page.get_by_text("In detail")).to_have_count(0)
    expect(page.locator(".notes")).to_have_count(1)
    found["run"]["stages"][12]["note"] = "all of it: used up"
    found["run"]["verdict"]["answer"] = "12 of 20 ready, 1 bad"
    page.reload()
    expect(page.locator(".notes")).to_contain_text("all of it")
    expect(page.locator(".notes")).not_to_contain_text("12 of 20")


def test_a_run_that_waits_for_an_answer_leads_to_the_question(site: Site, open_page: Open) -> None:
    found = answers.page_in_progress("nightly")
    found["run"]["verdict"] = {
        "level": "warn",
        "text": "The run waits for an answer: approve",
        "answer": "",
        "advice": "read",
    }
    approve = answers.stage("approve", 5, 5, "nightly", state="awaiting_input", ended_at=None, seconds=None)
    found["run"]["stages"].insert(12, approve)
    site.answers["pools/nightly"] = found
    page = open_page("#/pools/nightly")
    expect(page.locator(".group[data-key=approve]")).to_contain_text("waits for an answer · 5 min")
    link = page.get_by_role("link", name="Answer in Airflow").get_attribute("href") or ""
    assert link.endswith("/runs/r/tasks/approve/required_actions")


def test_a_single_look_is_no_chart(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["run"]["series"]["points"] = found["run"]["series"]["points"][:1]
    site.answers["pools/nightly"] = found
    page = open_page("#/pools/nightly")
    expect(page.locator(".strip").first).to_be_visible()
    expect(page.locator(".chart")).to_have_count(0)


def test_a_resize_by_hand_has_two_parts(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    stages = [answers.stage(name, 9, 2, "nightly") for name in ("plan", "resize", "nodes", "alert")]
    found["run"] |= {"stages": stages, "dag_id": "resize_pool"}
    site.answers["pools/nightly"] = found
    names = open_page("#/pools/nightly").locator(".group-name").all_inner_texts()
    assert [name.split("\n")[0].strip() for name in names] == ["Checks", "Pool", "Also"]


def test_a_clock_that_is_ahead_of_ours_puts_nothing_into_the_future(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["row"]["image"]["made_at"] = answers.ago(minutes=-6)
    site.answers["pools/nightly"] = found
    expect(open_page("#/pools/nightly").locator(".facts")).to_contain_text("made 0 s ago")


def test_a_note_on_a_stage_is_shown(open_page: Open) -> None:
    expect(open_page("#/pools/nightly").locator(".notes")).to_contain_text(
        "pool resize: 12 of 20 ready, 1 bad, 7 missing"
    )


def test_a_run_in_progress_has_bars_with_text(open_page: Open) -> None:
    page = open_page("#/pools/render-farm")
    bar = page.get_by_role("progressbar", name="North Europe: 51 %, 1 of 2 replicas")
    assert bar.get_attribute("value") == "51"
    expect(page.locator(".strip [data-key='pool.nodes']")).to_contain_text("waits for Azure")
    expect(page.locator(".about")).to_contain_text("running pool.nodes, on schedule, began 21 min ago.")


def test_progress_of_unknown_size_is_no_zero(site: Site, open_page: Open) -> None:
    found = answers.page_in_progress()
    found["run"]["progress"] = [{"what": "snapshots", "label": "OS disk", "percent": None, "text": "copying"}]
    site.answers["pools/render-farm"] = found
    bar = open_page("#/pools/render-farm").get_by_role("progressbar")
    assert bar.get_attribute("value") is None


def test_the_chart_has_axes_with_units_and_a_table(open_page: Open) -> None:
    page = open_page("#/pools/render-farm", timezone_id="Europe/Berlin")
    chart = page.get_by_role("img", name="Nodes over time: 12 of 20 nodes ready after 14 min, 8 starting, 0 bad.")
    labels = chart.locator("text").all_text_contents()
    assert {"nodes", "0", "20", "07:10", "+5 min", "time since 07:10"} <= set(labels)
    page.get_by_text("As a table").click()
    rows = page.locator("figure table tbody tr").all_inner_texts()
    assert rows[3].split() == ["9", "min", "12", "7", "1"]


def test_the_areas_of_the_chart_lie_on_each_other(open_page: Open) -> None:
    page = open_page("#/pools/render-farm")
    tops = page.locator(".chart > svg .area").evaluate_all("areas => areas.map(area => area.getBBox().y)")
    assert tops == sorted(tops, reverse=True)
    bottoms = page.locator(".chart > svg .area").evaluate_all(
        "areas => areas.map(area => area.getBBox().y + area.getBBox().height)"
    )
    assert bottoms[0] == pytest.approx(166, abs=0.2)  # ready stands on the axis


def test_the_line_is_a_list_of_five_with_links_to_the_portal(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    kinds = page.locator(".line .kind").all_inner_texts()
    assert kinds == ["Golden VM", "Snapshots", "Managed image", "Image version", "Batch pool"]
    link = page.locator(".line").get_by_role("link", name="golden-vm")
    assert (link.get_attribute("href") or "").startswith("https://portal.azure.com/")
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_only_https_leads_out_of_the_page(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["line"][0]["portal"] = "javascript:alert(1)"
    site.answers["pools/nightly"] = found
    page = open_page("#/pools/nightly")
    expect(page.locator(".line .card").first).to_contain_text("golden-vm")
    expect(page.locator(".line .card").first.get_by_role("link")).to_have_count(0)


def test_the_history_has_a_bar_and_a_row_for_each_run(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    chart = page.get_by_role(
        "img", name="Duration of the last 30 runs by stage: 5 failed, the longest took 40 min 3 s."
    )
    assert chart.locator("g").count() == 30
    assert chart.locator(".failure").count() == 5
    rows = page.locator("table.runs tbody tr")
    assert rows.count() == 30
    expect(rows.first).to_contain_text("30 min 12 s")
    expect(rows.first).to_contain_text("11 min 40 s")


def test_a_bar_is_as_high_as_its_run_is_long(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    heights = page.locator("svg.history g").evaluate_all(
        "bars => bars.map(bar => [...bar.querySelectorAll('rect')]"
        ".reduce((sum, part) => sum + part.height.baseVal.value, 0))"
    )
    seconds = [run["seconds"] for run in reversed(answers.history("nightly"))]
    scale = heights[0] / seconds[0]
    assert heights == [pytest.approx(length * scale, rel=0.02) for length in seconds]


def test_a_run_that_has_not_begun_breaks_nothing(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    queued = found["history"][0] | {
        "started_at": None,
        "ended_at": None,
        "seconds": None,
        "stages": {},
        "outcome": "queued",
    }
    site.answers["pools/nightly"] = found | {"history": [queued]}
    page = open_page("#/pools/nightly")
    expect(page.locator("table.runs tbody tr")).to_contain_text("not begun")


def test_an_earlier_run_is_shown_from_the_history(site: Site, open_page: Open) -> None:
    earlier = answers.run("nightly", answers.run_head("nightly", "scheduled__3", by="maria", run_type="manual"))
    site.answers["pools/nightly/runs/scheduled__3"] = earlier
    page = open_page("#/pools/nightly")
    page.locator("table.runs tbody tr").nth(3).get_by_role("link").click()
    expect(page.get_by_role("heading", name="Earlier run")).to_be_visible()
    expect(page.locator(".about")).to_contain_text("refreshed by hand by maria")
    page.get_by_role("link", name="Show the newest").click()
    expect(page.get_by_role("heading", name="Newest run")).to_be_visible()


def test_what_a_plan_only_run_found_is_shown_as_tables(open_page: Open) -> None:
    page = open_page("#/pools/small")
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    tables = {name: page.get_by_role("region", name=name).locator("tbody tr") for name in PLAN_TABLES}
    assert {name: rows.first.inner_text().split("\t") for name, rows in tables.items()} == PLAN_TABLES
    assert tables["What it costs more"].nth(1).inner_text().split("\t")[1:4] == ["–", "1,024 GiB", "–"]  # noqa: RUF001
    expect(page.get_by_text("There was no such run of this pool yet.")).to_be_visible()


PLAN_TABLES = {
    "What it would change": ["publish", "make", "versions 7", "–", "2 regions", "make the image version"],  # noqa: RUF001
    "The quota it needs": [
        "grow the pool",
        "standardDSv5Family",
        "1,200",
        "160",
        "1,360",
        "1,300",
        "not now: others hold it; others hold 900",
    ],
    "What it costs more": ["canary", "0.40 h", "–", "at least 0.09 EUR a run", "as the last run took"],  # noqa: RUF001
}


def test_a_plan_without_tables_is_shown_as_text(site: Site, open_page: Open) -> None:
    found = answers.page_planned()
    found["run"]["plan"] = {"markdown": "| *what* | <i> |"}
    site.answers["pools/small"] = found
    expect(open_page("#/pools/small").locator("pre")).to_have_text("| *what* | <i> |")


def test_a_pool_without_any_run_or_line_has_a_page(site: Site, open_page: Open) -> None:
    new = answers.row("new", run=None, nodes=None, image=None, azure={"at": None, "error": None})
    site.answers["pools/new"] = answers.page(new, None, history=[], line=[], versions=[], links=[])
    page = open_page("#/pools/new")
    expect(page.get_by_text("There was no run yet.").first).to_be_visible()
    expect(page.get_by_text("Not known yet: no run has made an image.")).to_be_visible()


def test_an_unknown_pool_is_said_to_be_one(open_page: Open) -> None:
    page = open_page("#/pools/nobody")
    expect(page.locator("h1")).to_have_text("No such pool")
    expect(page.get_by_text("There is no pool nobody, or you may not read its DAG.")).to_be_visible()


def test_states_that_the_page_does_not_know_yet_are_shown_by_their_keys(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["run"]["stages"][0]["state"] = "a_new_state"
    found["run"]["stages"].append(answers.stage("afterwards.clean", 1, 1, "nightly"))
    site.answers["pools/nightly"] = found
    page = open_page("#/pools/nightly")
    expect(page.locator(".strip [data-key=plan]")).to_contain_text("a new state")
    expect(page.locator(".group[data-key=afterwards]")).to_contain_text("clean")
