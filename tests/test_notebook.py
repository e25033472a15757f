"""docs/notebook.ipynb runs offline from top to bottom, and is stored without outputs."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_is_stored_without_outputs_and_links_lead_somewhere():
    for cell in cells():
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        for target in re.findall(r"\]\(([^)#]+)\)", "".join(cell["source"])):
            assert cell["cell_type"] == "code" or (NOTEBOOK.parent / target).is_file(), target
    assert len({cell["id"] for cell in cells()}) == len(cells())


@pytest.mark.slow
def test_its_cells_run_in_order(tmp_path, monkeypatch, capsys):
    import matplotlib
    from matplotlib import pyplot as plt

    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for number, cell in enumerate(cells()):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
            for figure in map(plt.figure, plt.get_fignums()):
                figure.savefig(tmp_path / f"cell{number}.png")
            plt.close("all")
    said = capsys.readouterr().out
    assert "held out: " in said
    assert said.count("12 clips") == 2
    assert names["found"].segments[-1].end_s == pytest.approx(names["found"].duration_s)
    assert len(list(tmp_path.glob("cell*.png"))) == 3
