"""One table of everything that was measured, as Markdown, so that it can be pasted into a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .figures import Figure
from .targets import target_of

#: benchmark -> appendfsync -> figure
Results = Mapping[str, Mapping[str, Mapping[str, Figure]]]


def table(results: Results, settings: list[str]) -> str:
    """A row per figure, a column per setting of appendfsync, the target and whether it is met."""
    head = ["benchmark", "figure", *settings, "target", "met"]
    rows = [head, ["---"] * len(head), *_rows(results, settings)]
    widths = [max(3, *(len(row[place]) for row in rows)) for place in range(len(head))]
    return "\n".join(_line(row, widths) for row in rows)


def _rows(results: Results, settings: list[str]) -> Iterator[list[str]]:
    for benchmark, by_setting in results.items():
        names = dict.fromkeys(name for figures in by_setting.values() for name in figures)
        for name in names:
            shown = [_show(by_setting.get(setting, {}).get(name)) for setting in settings]
            yield [benchmark, name, *shown, *_judge(benchmark, name, by_setting)]


def _judge(benchmark: str, name: str, by_setting: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    target = target_of(benchmark, name)
    if target is None:
        return ["", ""]
    met = [
        "yes" if target.is_met(fsync, figures) else "no"
        for fsync, figures in by_setting.items()
        if name in figures
    ]
    return [str(target), ", ".join(met)]


def _show(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if figure.min == figure.max:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.min)}-{number(figure.max)})"


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _line(row: list[str], widths: list[int]) -> str:
    if row[0] == "---":
        return "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "| " + " | ".join(cells) + " |"
