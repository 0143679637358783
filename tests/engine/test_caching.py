"""Claims about `cacheConfig`: a kept output is used at once, for its name and key only, and never after its time."""

import pytest

from engine.definitions import WorkflowTask
from engine.effects import KeepOutput
from engine.json_value import JsonObject
from engine.testing import Scenario
from engine.validation import validate_workflow
from streams.kept_outputs import OUTPUT_BYTES_MAX, KeptOutputs
from tests.engine.building import attempts, event_names, loop, output_of, task, workflow

TTL_S = 60


def cached(ref: str = "a", key: str = "${video}", ttl_s: int = TTL_S, **fields: object) -> WorkflowTask:
    """Return a task named `look` whose output is kept under its input's `video`."""
    config: JsonObject = {"key": key, "ttlInSecond": ttl_s}
    given = {"video": "${workflow.input.video}"}
    return task(ref, **{"name": "look", "input_parameters": given, "cache_config": config, **fields})


def run(cache: KeptOutputs, *tasks: WorkflowTask, now_ms: int = 1_000_000, **given: object) -> Scenario:
    """Start a workflow of these tasks over a cache."""
    scenario = Scenario(workflow(*(tasks or (cached(),))), now_ms=now_ms, cache=cache)
    scenario.start(dict(given))
    return scenario


def done(cache: KeptOutputs, **given: object) -> Scenario:
    """Run a workflow of one cached task, do the task, and let the cache take what it is told."""
    scenario = run(cache, **given)  # type: ignore[arg-type]  # `given` never holds now_ms
    scenario.complete("a", {"n": 1})
    for effect in scenario.effects:
        if isinstance(effect, KeepOutput):
            cache.keep(effect)
    return scenario


def test_second_task_with_the_key_has_the_output_at_once() -> None:
    """No worker sees it; its input is its own."""
    cache = KeptOutputs()
    done(cache, video=1)
    second = run(cache, video=1)
    assert (second.status, output_of(second, "a")) == ("COMPLETED", {"n": 1})
    assert second.dispatched == set()
    assert second.task("a").spec.input == {"video": 1}


@pytest.mark.parametrize(("passed_ms", "is_found"), [(0, True), (TTL_S * 1000 - 1, True), (TTL_S * 1000, False)])
def test_output_is_found_up_to_its_time_and_not_at_it(passed_ms: int, *, is_found: bool) -> None:
    """The time runs from the end of the task that made the output."""
    cache = KeptOutputs()
    first = done(cache, video=1)
    assert (run(cache, video=1, now_ms=first.now_ms + passed_ms).status == "COMPLETED") is is_found


def test_use_does_not_prolong_the_time() -> None:
    """What came from the cache is not kept anew."""
    cache = KeptOutputs()
    done(cache, video=1)
    second = run(cache, video=1)
    assert [effect for effect in second.effects if isinstance(effect, KeepOutput)] == []
    assert second.task("a").spec.cache_ms == 0


def test_other_keys_and_other_names_find_nothing() -> None:
    """A number is the key that it is written as."""
    cache = KeptOutputs()
    done(cache, video=1)
    assert run(cache, video=2).status == "RUNNING"
    assert run(cache, video="1").status == "COMPLETED"
    assert run(cache, cached(name="listen"), video=1).status == "RUNNING"


def test_key_may_name_the_input_its_parts_and_the_workflow() -> None:
    """One that is made of nothing keeps nothing."""
    for key, expected in (
        ("${video}-${workflow.input.day}", "v-mon"),
        ("${input.video}", "v"),
        ("${input}", '{"video":"v"}'),
        ("${missing}", ""),
    ):
        scenario = run(KeptOutputs(), cached(key=key), video="v", day="mon")
        assert scenario.task("a").spec.cache_key == expected


def test_task_that_is_given_an_input_is_never_served_the_output_of_another() -> None:
    """The key is made from the input that it is given; with the input of before, the output of before is as good."""
    cache = KeptOutputs()
    scenario = done(cache, video=1)
    scenario.rerun("a", given={"video": 2})
    assert (scenario.status, scenario.task("a").spec.cache_key) == ("RUNNING", "2")
    scenario.complete("a", {"n": 2})
    scenario.rerun("a", given={"video": 1})
    assert (scenario.status, output_of(scenario, "a")) == ("COMPLETED", {"n": 1})


def test_key_of_a_secret_holds_the_reference() -> None:
    """The engine knows no value, so none can get into a key."""
    scenario = run(KeptOutputs(), cached(key="${token}", input_parameters={"token": "${workflow.secrets.TOKEN}"}))
    assert scenario.task("a").spec.cache_key == "${workflow.secrets.TOKEN}"
    assert len(scenario.task("a").spec.deferred) == 1


def test_only_success_is_kept() -> None:
    """A failure, and an error that is tolerated, are not."""
    for optional in (False, True):
        scenario = run(KeptOutputs(), cached(optional=optional), video=1)
        scenario.fail("a", terminal=True)
        assert [effect for effect in scenario.effects if isinstance(effect, KeepOutput)] == []


def test_retried_attempt_looks_again() -> None:
    """Somebody else may have succeeded meanwhile."""
    cache = KeptOutputs()
    scenario = run(cache, video=1)
    done(cache, video=1)
    scenario.fail("a")
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "COMPLETED")]


def test_loop_uses_what_its_earlier_pass_has_put_out() -> None:
    """Across passes of one workflow too."""
    cache = KeptOutputs()
    body = cached("a")
    scenario = run(cache, loop("l", "$.l['iteration'] < 3", body), video=1)
    scenario.complete("a__1", {"n": 1})
    assert scenario.open_refs()[-1] == "a__2"
    for effect in scenario.effects:
        if isinstance(effect, KeepOutput):
            cache.keep(effect)
    assert "TaskEnded" in event_names(scenario.complete("a__2", {"n": 2}))
    assert output_of(scenario, "a__3") == {"n": 1}


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"key": "k"}, "tasks[0].cacheConfig"),
        ({"key": "", "ttlInSecond": 1}, "tasks[0].cacheConfig.key"),
        ({"key": "k", "ttlInSecond": -1}, "tasks[0].cacheConfig.ttlInSecond"),
    ],
)
def test_configuration_that_cannot_be_meant_is_refused(config: JsonObject, path: str) -> None:
    """At registration."""
    assert [found.path for found in validate_workflow(workflow(task("a", cache_config=config)))] == [path]


def test_task_whose_doing_matters_cannot_be_cached() -> None:
    """A WAIT that is over at once is none."""
    config = {"key": "k", "ttlInSecond": 1}
    (found,) = validate_workflow(workflow(task("a", "WAIT", cache_config=config)))
    assert "the output of a WAIT cannot be kept" in found.message
    assert validate_workflow(workflow(task("a", "my_type", cache_config=config))) == ()


def told(key: str, output: JsonObject | None = None, until_ms: int = 10) -> KeepOutput:
    """Return what an effect says."""
    return KeepOutput(task_name="t", key=key, output=output or {}, until_ms=until_ms)


def test_cache_is_bounded_by_number_and_size() -> None:
    """The oldest go first; an output that is too large is not taken."""
    cache = KeptOutputs(outputs_max=2, bytes_max=1_000)
    for key in "abc":
        cache.keep(told(key))
    assert [cache.find("t", key, 0) for key in "abc"] == [None, {}, {}]
    cache.keep(told("d", {"x": "y" * 995}))
    assert len(cache) == 0
    KeptOutputs().keep(told("e", {"x": "y" * OUTPUT_BYTES_MAX}))


def test_output_that_ended_earlier_does_not_replace_a_later_one() -> None:
    """Effects may come twice, after a crash."""
    cache = KeptOutputs()
    cache.keep(told("a", {"n": 2}, until_ms=20))
    cache.keep(told("a", {"n": 1}, until_ms=10))
    assert cache.find("t", "a", 5) == {"n": 2}
