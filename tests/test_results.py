"""From records to pages: the right numbers in the right places, and nothing where there is no record."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from actionprompt.metrics import wilson
from actionprompt.study import claims, pages, paired, tables
from actionprompt.world import actions

RESULTS = Path(__file__).parents[1] / "results"


DATA = {"dataset": "actionworld_v2", "size": "small"}
NAMES, PAIRS = actions.class_names("2"), actions.pairs("2")


def record(method, variant="", seed=0, protocol="closed-set", shots=None, pair=50.0, **figures):
    test = {"by_kind": {kind: {"percent": pair} for kind in ("still", "cyclic", "reversible", "pair")}}
    return {
        **DATA, "method": method, "variant": variant, "seed": seed, "core_hours": 0.25,
        "backbone": {"name": "tiny", "sha256": "1"},
        "plan": {"protocol": protocol, "shots": shots}, "figures": figures, "trained_parameters": 1234567,
        "metrics": {"split1": {"test": test, "scene_bias": {"by_kind": {"pair": {"percent": 1.0}}}}},
    }  # fmt: skip


def with_bits(made, each=25, **share):
    """The record with a list of `each` clips per class for every test in `share`, of which that share is right."""
    tests, described = {}, {}
    for number, (test, wanted) in enumerate(share.items()):
        rng = np.random.default_rng([made["seed"], number])
        right = (rng.random(len(NAMES) * each) < wanted).tolist()
        own = [ok for name, row in zip(NAMES, np.reshape(right, (-1, each)).tolist()) for ok in row
               if any(name in pair for pair in PAIRS)]  # fmt: skip
        kinds = {"pair": {"percent": 100 * np.mean(own), "clips": len(own)}}
        tests[test] = {"right": paired.to_hex(right), "num_clips": len(right), "right_pair": paired.to_hex(own),
                       "by_kind": kinds}  # fmt: skip
        described[test] = {"sha256": test}
    plan = {**made["plan"], "parts": {"split1": {"tests": described}}}
    return {**made, "plan": plan, "metrics": {"split1": tests}}


RECORDS = [
    record("zeroshot", protocol="zero-shot", accuracy=48.0, scene_bias=47.0),
    record("zeroshot", "linear", accuracy=54.0, scene_bias=38.0),
    *(record("seeing_in_flowing", seed=s, accuracy=60.0 + s, scene_bias=50.0, pair=70.0 + s) for s in range(3)),
    record("seeing_in_flowing", "no_motion", accuracy=52.0, scene_bias=38.0),
    *(record("seeing_in_flowing", protocol="few-shot", shots=k, accuracy=30.0 + k, pair=60.0) for k in (2, 4)),
    record("dual_semantic_tpr", "baseline", protocol="few-shot", shots=16, accuracy=40.0),
    record("dual_semantic_tpr", protocol="few-shot", shots=16, accuracy=45.0),
    record("mip_clip", "zero_shot", protocol="base-to-novel", shots=16, base=70.0, novel=40.0, harmonic_mean=50.9),
    record("mip_clip", "zero_shot_no_vmp", protocol="base-to-novel", shots=16, base=60.0, novel=44.0, harmonic_mean=50),
]


def rows(page: str, start: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def page(*parts: str) -> str:
    return "\n".join(f"<!-- generated: {part} -->\nold\n<!-- end -->\nwritten by hand" for part in parts)


def test_the_leaderboard_has_every_entry_with_mean_and_deviation_of_its_own_protocol(tmp_path):
    text = pages.fill(page("leaderboard"), RECORDS, tmp_path)
    assert "old" not in text
    assert "written by hand" in text
    (flow,) = rows(text, "`seeing_in_flowing`")
    assert flow[:6] == ["`seeing_in_flowing`", "1,234,567", "61.0 ± 1.0", "50.0 ± 0.0", "", "71.0 ± 1.0"]
    assert flow[6:] == ["34.0", "", "", "", ""]
    (zero,) = rows(text, "`zeroshot`")
    assert zero[2:6] == ["48.0", "47.0", "", "50.0"]
    assert not rows(text, "`vita_clip`"), "an entry without records"
    assert (tmp_path / "leaderboard.png").stat().st_size > 5000


def test_an_interval_is_shown_where_the_records_say_which_clips_are_right(tmp_path):
    share = {"test": 0.6, "scene_bias": 0.3, "background": 0.4}
    made = [with_bits(record("vifi_clip", seed=s, accuracy=60.0, scene_bias=30.0, background=40.0), **share)
            for s in range(3)]  # fmt: skip
    (row,) = rows(pages.fill(page("leaderboard"), made, tmp_path), "`vifi_clip`")
    assert all(re.fullmatch(r"\d+\.\d ± \d+\.\d \(\d+–\d+\)", cell) for cell in row[2:6]), row
    low, high = map(int, re.findall(r"(\d+)–(\d+)", row[2])[0])
    assert low in range(56, 60)
    assert high in range(61, 65)
    (single,) = rows(pages.fill(page("leaderboard"), made[:1]), "`vifi_clip`")
    low, high = map(int, re.findall(r"(\d+)–(\d+)", single[2])[0])
    right = int(paired.read(made[0], "test").sum())
    assert (low, high) == pytest.approx(wilson(right, 1000), abs=1)


def claim_rows(world):
    return {row[0]: row for row in rows(pages.fill(page("claims"), world), "")[2:]}


def test_a_claim_is_judged_by_interval_and_by_seed():
    better, worse, equal = 0.62, 0.5, 0.5
    world = [
        with_bits(record(method, variant, seed=s, accuracy=1.0), test=share)
        for method, variant, share in (
            ("mip_clip", "", better),
            ("mip_clip", "no_vmp", worse),
            ("dual_semantic_tpr", "", equal),
            ("dual_semantic_tpr", "prompts_beta", better),
            ("vita_clip", "", better),
        )
        for s in range(3)
    ] + [with_bits(record("mip_clip", "no_dfr", accuracy=1.0), test=worse)]
    for number, made in enumerate(world):  # entries of one seed differ, too
        right = np.roll(paired.read(made, "test"), 7 * number)
        made["metrics"]["split1"]["test"]["right"] = paired.to_hex(right.tolist())
    found = claim_rows(world)
    assert list(found) == [claim.id for claim in claims.CLAIMS]
    assert found["M1"][-1] == "holds"
    assert float(found["M1"][3]) == pytest.approx(12, abs=4)
    assert found["D3"][-1] == "contradicted"
    assert found["M4"][-1] == "undecided"
    assert found["M3"][-1] == "1 of 3 seeds"
    assert found["M3"][8] == "", "it is corrected with the claims that have all seeds only"
    assert found["P1"][3:] == ["", "", "", "", "", "", "not run"]
    text = pages.fill(page("reading"), world)
    head, (mip,) = rows(text, "claims of")[0], rows(text, "`mip_clip`")
    cells = dict(zip(head, mip))
    assert cells["holds"] == f"M1 {found['M1'][3]}, M2 {found['M2'][3]}"
    assert cells["undecided"] == f"M4 {found['M4'][3]}"
    assert cells["1 of 3 seeds"] == f"M3 {found['M3'][3]}"
    assert cells["not run"] == "M5"
    assert rows(text, "`dual_semantic_tpr`")[0][head.index("contradicted")].startswith("D3 ")
    assert claim_rows([]).keys() == found.keys()


def test_a_method_has_its_own_rows_and_the_claims_that_compare_it():
    text = pages.fill(page("leaderboard seeing_in_flowing", "claims seeing_in_flowing", "claims i3d_flow"), RECORDS)
    head, rule, own, variant = rows(text.split("<!-- end -->")[0], "")
    assert head == ["entry", "trained parameters", "closed-set", "scene bias", "pair", "K=4"], "no empty column"
    assert (own[0], variant[0]) == ("`seeing_in_flowing`", "`seeing_in_flowing no_motion`")
    assert own[2] == "61.0 ± 1.0"
    assert set(rule) == {"---"}
    listed = [row for row in rows(text, "") if re.fullmatch(r"[A-Z]\d", row[0])]
    assert [row[0] for row in listed] == ["D7", "S1", "S2", "S3", "S4", "S5", "S6", "B3"]
    assert listed[0][2:4] == ["`dual_semantic_tpr`", "`seeing_in_flowing`"]
    assert {row[-1] for row in listed} == {"not run"}
    assert "No claim compares it." in text
    assert "No records yet." in pages.fill(page("leaderboard vita_clip"), RECORDS)


def test_a_seed_of_the_other_sign_leaves_a_claim_undecided():
    d = paired.Difference(5.0, 1.0, 9.0, 0.01, (8.0, 8.0, -1.0), 0.2)
    assert claims.verdict(d) == "undecided"
    assert claims.verdict(paired.Difference(-5.0, -9.0, -1.0, 0.01, (-8.0, -6.0, -1.0), 0.2)) == "contradicted"


def test_an_untrained_entry_is_compared_with_every_seed_and_losses_clip_by_clip():
    tuned = [with_bits(record("vifi_clip", seed=s, accuracy=1.0), test=0.7, scene_bias=0.3, background=0.35)
             for s in range(3)]  # fmt: skip
    lists = {"split1": 0.5, "scene_bias split1": 0.5, "background split1": 0.5}
    frozen = with_bits(record("zeroshot", protocol="zero-shot", accuracy=1.0), **lists) | {"trained_parameters": 0}
    for name in lists:
        frozen["plan"]["parts"]["split1"]["tests"][name]["sha256"] = name.split(" ")[0].replace("split1", "test")
    found = claim_rows([*tuned, frozen])
    assert found["B1"][-1] == found["B2"][-1] == "holds"
    (row,) = rows(pages.fill(page("leaderboard"), [frozen]), "`zeroshot`")
    pair = frozen["metrics"]["split1"]["split1"]["by_kind"]["pair"]["percent"]
    assert row[5].startswith(f"{pair:.1f} ("), "that of `test` alone"
    test, moved, still = (paired.read(tuned[0], "test"), paired.read(tuned[0], "background"), frozen)
    lost = test.mean() - moved.mean()
    own = paired.read(still, "test").mean() - paired.read(still, "background").mean()
    assert float(found["B2"][5].split()[0]) == pytest.approx(100 * (lost - own), abs=0.06)
    tuned[0]["plan"]["parts"]["split1"]["tests"]["scene_bias"]["sha256"] = "other"
    with pytest.raises(ValueError, match="B1: its two entries were tested on different clips or backbones"):
        claim_rows([*tuned, frozen])


def test_the_smallest_effect_is_stated_for_every_claim():
    found = {row[0]: row for row in rows(pages.fill(page("claims to test"), []), "")[2:]}
    assert found["M1"][-2:] == ["1,000", "4.0"]
    assert found["M2"][-2] == "500"
    assert found["M5"][-2] == "500"
    assert all(2 < float(row[-1]) < 8 for row in found.values())
    text = (RESULTS / "claims.md").read_text(encoding="utf-8")
    assert all(f"| {claim.id} | {claim.text} |" in text for claim in claims.CLAIMS)


def test_trials_and_core_hours_are_summed(tmp_path):
    trials = [{"lr": lr, "epochs": 2, "val": 100 * lr, "core_hours": 0.1} for lr in (1e-4, 1e-3)]
    choices = {"choices": {"mip_clip": {"lr": 1e-3, "epochs": 2, "trials": trials}}}
    text = pages.fill(page("trials", "core hours"), RECORDS[:5], None, {"choices": choices})
    assert [row[-2] for row in rows(text, "`mip_clip`")] == ["", "yes"]
    assert [row[1:] for row in rows(text, "")[4:] if row[0] in ("trials", "seed 0", "other seeds", "all")] == [
        ["2", "0.20"], ["3", "0.75"], ["2", "0.50"], ["7", "1.45"],
    ]  # fmt: skip
    assert tables.NO_RECORDS in pages.fill(page("trials"), [])


def test_an_entry_is_shown_where_it_has_records_and_a_table_without_records_says_so():
    parts = ("leaderboard", "kinds", "few-shot", "base-to-novel", "tables actionworld_v2", "ablations mip_clip")
    text = pages.fill(page(*parts[:4]), RECORDS)
    shown = [row[0] for row in rows(text.split("generated: kinds")[1].split("<!-- end")[0], "`")]
    assert shown == ["`zeroshot`", "`zeroshot linear`", "`seeing_in_flowing`"], "others ran few-shot only"
    assert "| - " not in text
    for other in ({"size": "full"}, {"dataset": "actionworld"}, {"figures": {"val": 50.0}}):
        text = pages.fill(page(*parts[:4], parts[5]), [{**RECORDS[0], **other}])
        assert text.count(tables.NO_RECORDS) == 5
    assert "| " not in text


def test_columns_that_are_equal_in_all_rows_are_stated_once():
    lines = [["method", "frames", "views", "top-1"], ["a", "8", "1x1", "1"], ["b", "8", "", "1"]]
    assert tables.table(lines, once=("frames", "views")).splitlines() == [
        "All rows: frames 8.",
        "",
        "| method | views | top-1 |",
        "| --- | --- | --- |",
        "| a | 1x1 | 1 |",
        "| b |  | 1 |",
    ]
    empty = [[*row[:2], "" if index else row[2], row[3]] for index, row in enumerate(lines)]
    assert "views" not in tables.table(empty, once=("views",))
    assert "All rows" not in tables.table(empty, once=("views",))
    assert "| frames |" in tables.table(lines)


def test_an_ablation_shows_the_rows_that_ran_next_to_what_the_paper_prints(tmp_path):
    text = pages.fill(page(*(f"ablations {m}" for m in ("seeing_in_flowing", "dual_semantic_tpr"))), RECORDS, tmp_path)
    assert [row[0] for row in rows(text, "`seeing_in_flowing")] == [
        "`seeing_in_flowing no_motion`", "`seeing_in_flowing`",
    ]  # fmt: skip
    (row,) = rows(text, "`dual_semantic_tpr baseline`")
    assert row == ["`dual_semantic_tpr baseline`", "40.0", "50.0", "1", "60.3", "80.2"]
    drawn = re.findall(r"\]\(plots/([^)]+)\)", text)
    assert {path.name for path in tmp_path.iterdir()} == set(drawn)
    assert len(drawn) == 2


def test_an_ablation_shows_rows_that_train_nothing_and_no_transferred_ones():
    records = [
        record("dual_semantic_tpr", "baseline", protocol="zero-shot", accuracy=42.0) | {"trained_parameters": 0},
        record("dual_semantic_tpr", "prompts", accuracy=50.0),
        record("dual_semantic_tpr", "prompts", protocol="zero-shot", accuracy=10.0),
        record("dual_semantic_tpr", accuracy=48.0),
    ]
    text = pages.fill(page("ablations dual_semantic_tpr"), records)
    closed = text.split("(Figure 5a, Table 7)**; closed-set, small")[1].split("**")[0]
    assert [row[:2] for row in rows(closed, "`dual_semantic_tpr")] == [
        ["`dual_semantic_tpr baseline`", "42.0"], ["`dual_semantic_tpr prompts`", "50.0"],
        ["`dual_semantic_tpr`", "48.0"],
    ]  # fmt: skip


def test_base_to_novel_has_columns_of_its_own(tmp_path):
    text = pages.fill(page("ablations mip_clip"), RECORDS, tmp_path)
    assert "| row | base | novel | harmonic mean | seeds |" in text
    assert rows(text, "`mip_clip zero_shot`") == [["`mip_clip zero_shot`", "70.0", "40.0", "50.9", "1"]]
    text = pages.fill(page("base-to-novel"), RECORDS, tmp_path)
    assert rows(text, "`mip_clip") == [["`mip_clip zero_shot`", "70.0", "40.0", "50.9", "", ""]]


def test_plots_are_drawn_only_where_a_folder_is_given_and_the_text_is_the_same(tmp_path):
    parts = page("leaderboard", "kinds", "few-shot", "ablations seeing_in_flowing", "ablations vifi_clip")
    assert pages.fill(parts, RECORDS) == pages.fill(parts, RECORDS, tmp_path)
    assert pages.fill(pages.fill(parts, RECORDS), RECORDS) == pages.fill(parts, RECORDS)
    assert "No records yet." in pages.fill(page("ablations vifi_clip"), RECORDS)


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match="no generated part 'leaderbord'; the nearest names are 'leaderboard', "
    ) as error:
        pages.fill(page("leaderbord"), RECORDS)
    assert len(str(error.value)) < 120
    with pytest.raises(ValueError, match="'ablations zeroshot'"):
        pages.fill(page("ablations zero_shot"), RECORDS)


def test_a_field_called_as_its_part_leaves_the_names_of_the_rows():
    text = pages.measured({"packages": {"ours": {"packages": 8}, "other": {"packages": 68}}}, "packages")
    assert text.splitlines()[0] == "| name | packages |"
    assert text.splitlines()[2:] == ["| ours | 8 |", "| other | 68 |"]


def test_a_part_of_a_benchmark_is_a_table_without_single_measurements(tmp_path):
    found = {
        "commit": "1234", "seed": 0, "what": "a test", "ratio": 1.2345678, "limit": None,
        "readers": {"ours": {"seconds": 0.5, "all": [0.4], "failed": 0}, "other": {"seconds": 1234.5, "failed": 3}},
        "cases": [{"names": ["up", "down"], "real": True, "top1": {"full": 0.25}}, {"real": False}],
        "peaks": {"step_mb": {"8": 156, "256": 204}, "text_mb": 1605}, "times": [1.0, 2.0],
    }  # fmt: skip
    (tmp_path / "some.json").write_text(json.dumps(found))
    (tmp_path / "run.json").write_text(json.dumps({"commit": "1234", "figures": {}}))
    benchmarks = pages.collect_benchmarks(tmp_path)
    assert list(benchmarks) == ["some"]
    parts = (f"measured some{part}" for part in (" readers", " cases", " peaks", ""))
    text = pages.fill(page(*parts), [], None, benchmarks)
    assert rows(text, "readers |") == [["readers", "seconds", "failed"]]
    assert rows(text, "ours") + rows(text, "other") == [["ours", "0.5", "0"], ["other", "1,234", "3"]]
    assert rows(text, "names") + rows(text, "up") == [["names", "real", "top1, full"], ["up, down", "yes", "0.25"]]
    assert "|  | no |  |" in text
    assert rows(text, "peaks |") + rows(text, "step_mb") + rows(text, "text_mb") == [
        ["peaks", "value"], ["step_mb, 8", "156"], ["step_mb, 256", "204"], ["text_mb", "1,605"],
    ]  # fmt: skip
    assert rows(text, "ratio") + rows(text, "readers, other, failed") == [
        ["ratio", "1.235"],
        ["readers, other, failed", "3"],
    ]
    assert not rows(text, "commit")
    assert not rows(text, "limit"), "a field without value"
    for part in ("nothing", "times"):
        with pytest.raises(ValueError, match=f"'measured some {part}'"):
            pages.fill(page(f"measured some {part}"), [], None, benchmarks)


def test_accuracy_within_pairs_is_shown_next_to_cost(tmp_path):
    def row(model, inference, **more):
        return {"model": model, "compiled": False, "inference": {"ratio": inference}, "memory_mb": {}, **more}

    benches = {
        "bench_b16": {
            "benchmark": "bench",
            "rows": [
                row("zeroshot:linear", 1.01, cached_step={"ratio": 0.0004}),
                row("seeing_in_flowing", 1.08, training_step={"ratio": 2.5}, memory_mb={"training_step": 900.0}),
                row("mip_clip", 1.2),
                {"model": "zeroshot", "compiled": False, "error": "out of memory"},
            ],
        }
    }
    text = pages.fill(page("trade bench_b16"), RECORDS, tmp_path, benches)
    assert rows(text, "`") == [
        ["`zeroshot linear`", "54.0", "50.0", "1.01", "", "<0.001", ""],
        ["`seeing_in_flowing`", "61.0 ± 1.0", "71.0 ± 1.0", "1.08", "2.50", "", "900"],
    ]
    assert (tmp_path / "trade-bench_b16.png").stat().st_size > 5000


def test_links_of_the_pages_resolve():
    found = [(path, link) for path in RESULTS.glob("*.md") for link in links(path)]
    linked = {link for path, link in found if path.name == "README.md"}
    records = [path.relative_to(RESULTS).as_posix() for path in RESULTS.glob("records/*/*/*.json")]
    assert records
    assert not set(records) - linked, "every record is linked"
    assert not [(path.name, link) for path, link in found if not (path.parent / link).is_file()]


def links(path: Path) -> list[str]:
    """Files that a page links, without anchors."""
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target]
