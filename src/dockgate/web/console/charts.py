"""Plots as SVG, made by the server: attributes have the geometry, classes the colours. Pure."""

from collections.abc import Sequence

from markupsafe import Markup

# The size of a plot's coordinates; the page scales it to its place.
WIDTH, HEIGHT = 240, 48
# Room for the width of a line.
MARGIN = 2


def draw_line_plot(values: Sequence[int | None], maximum: int, label: str) -> Markup:
    """A line over equal steps of time, filled below; gaps where a value is unknown.

    `label` says it in words.
    """
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{WIDTH * number / max(1, len(values) - 1):.1f},{_compute_y(value, maximum)}")
    shapes = Markup("")
    for points in filter(None, pieces):
        first, last = points[0].partition(",")[0], points[-1].partition(",")[0]
        area = f"{first},{HEIGHT} {' '.join(points)} {last},{HEIGHT}"
        if len(points) == 1:
            points.append(f"{float(first) + 1:g},{points[0].partition(',')[2]}")
        shapes += Markup('<polygon points="{}"/><polyline points="{}"/>').format(area, " ".join(points))
    return _render_svg("line-plot", shapes, label)


def draw_bar_plot(values: Sequence[int], maximum: int, label: str) -> Markup:
    """Draw a bar for each value except 0. `label` describes the plot in words."""
    step = WIDTH / max(1, len(values))
    shapes = Markup("")
    for number, value in enumerate(values):
        if value:
            top = _compute_y(value, maximum)
            shapes += Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
                f"{number * step:.1f}", f"{top:g}", f"{max(step - 0.6, 1):.1f}", f"{HEIGHT - top:g}"
            )
    return _render_svg("bar-plot", shapes, label)


def draw_share_bar(value: int, maximum: int) -> Markup:
    """Draw a bar beside a number. Assistive technology skips it, because the row has the number."""
    width = round(WIDTH * value / max(1, maximum), 1)
    bar = Markup('<rect x="0" y="0" width="{}" height="{}"/>').format(f"{width:g}", HEIGHT) if value else ""
    return Markup(
        '<svg class="plot share" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(WIDTH, HEIGHT, bar)


def _compute_y(value: int, maximum: int) -> float:
    return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / max(1, maximum), 1)


def _render_svg(kind: str, shapes: Markup, label: str) -> Markup:
    return Markup(
        '<svg class="plot {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(kind, WIDTH, HEIGHT, label, shapes)
