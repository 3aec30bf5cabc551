/* How does a curve become letters?
 *
 * A letter of braille (U+2800) is 2x4 dots, so a chart of 70 x 12 letters has
 * 140 x 48 dots. Where letters beyond ASCII can't be shown, or where several
 * curves can't be told apart by colour, each curve has a letter of its own
 * instead:
 *
 *      80 % |             *****           * clean   o robust
 *           |     ********
 *      60 % | ****        ooooo
 *           |      ooooooo
 *      40 % |oooooo
 *           +------------------
 *            0     5    10   epoch
 */
#include "cli/chart.h"

#include "cli/style.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUTTER     9 /* columns left of the axis: "100.00 %" */
#define TICKS_MOST 12
#define DOTS_X     2
#define DOTS_Y     4

static const char marks[CURVES_MOST] = { '*', 'o', '+', 'x', '#', '@' };
static const enum style colours[CURVES_MOST] = { STYLE_FIRST, STYLE_SECOND, STYLE_WARN,
                                                 STYLE_GOOD,  STYLE_BUSY,   STYLE_BAD };

struct axis {
    double low, high; /* of what is drawn: logarithms where `log` */
    bool log;
    double ticks[TICKS_MOST]; /* values, as people read them */
    int count;
};

struct canvas {
    int width, height; /* letters */
    bool braille;
    uint8_t *dots;  /* [height][width]; without braille 1: there is one */
    int8_t *owners; /* the curve that drew last */
};

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, at least `rough`. */
static double step_nice(double rough)
{
    double power = pow(10, floor(log10(rough)));

    for (size_t i = 0; i < 3; i++)
        if (rough <= (double[]){ 1, 2, 5 }[i] * power * (1 + 1e-9))
            return (double[]){ 1, 2, 5 }[i] * power;
    return 10 * power;
}

static void tick_add(struct axis *axis, double value)
{
    if (axis->count < TICKS_MOST)
        axis->ticks[axis->count++] = value;
}

/* Ticks in steps of 1, 2 or 5; with `whole` the axis grows to the ticks around it. */
static void axis_linear(struct axis *axis, double low, double high, int ticks, bool whole)
{
    if (!(high > low)) {
        double more = low != 0 ? fabs(low) * 0.1 : 1;
        low -= more;
        high += more;
    }
    double step = step_nice((high - low) / ticks);
    double first = whole ? floor(low / step + 1e-9) : ceil(low / step - 1e-9);
    double last = whole ? ceil(high / step - 1e-9) : floor(high / step + 1e-9);

    axis->low = whole ? first * step : low;
    axis->high = whole ? last * step : high;
    for (double at = first; at <= last; at++)
        tick_add(axis, at == 0 ? 0 : at * step);
}

/* Powers of ten; where these are too few, 2 and 5 times them as well. */
static void axis_log(struct axis *axis, double low, double high)
{
    bool fine = log10(high / low) < 2;
    int every = (int)ceil(log10(high / low) / (TICKS_MOST - 2));

    axis->log = true;
    axis->low = log10(low);
    axis->high = high > low ? log10(high) : axis->low + 0.1;
    for (double power = floor(axis->low); power <= axis->high + 1e-9; power += every > 1 ? every : 1)
        for (int i = 0; i < (fine ? 3 : 1); i++) {
            double value = (double[]){ 1, 2, 5 }[i] * pow(10, power);
            if (log10(value) >= axis->low - 1e-9 && log10(value) <= axis->high + 1e-9)
                tick_add(axis, value);
        }
    if (!axis->count) {
        tick_add(axis, low);
        tick_add(axis, high);
    }
}

/* Where a value stands, 0 at the bottom, 1 at the top; NAN: nowhere. */
static double place(const struct axis *axis, double value)
{
    if (axis->log)
        value = value > 0 ? log10(value) : NAN;
    return (value - axis->low) / (axis->high - axis->low);
}

/* Returns whether there is any point at all. */
static bool axes_make(const struct chart *chart, int width, struct axis *ret_x, struct axis *ret_y)
{
    double x[2] = { INFINITY, -INFINITY }, y[2] = { INFINITY, -INFINITY };

    for (int c = 0; c < chart->count; c++)
        for (int i = 0; i < chart->curves[c].count; i++) {
            double value = chart->curves[c].y[i], at = chart->curves[c].x[i];
            if (!isfinite(value) || !isfinite(at) || (chart->log && value <= 0))
                continue;
            x[0] = fmin(x[0], at), x[1] = fmax(x[1], at);
            y[0] = fmin(y[0], value), y[1] = fmax(y[1], value);
        }
    if (x[1] < x[0])
        return false;
    axis_linear(ret_x, x[0], x[1], width / 12 > 3 ? width / 12 : 3, false);
    if (chart->log)
        axis_log(ret_y, y[0], y[1]);
    else
        axis_linear(ret_y, y[0], y[1], 4, true);
    if (chart->percent && !chart->log) { /* a flat curve's axis has no 105 % */
        ret_y->low = fmax(ret_y->low, 0);
        ret_y->high = fmin(ret_y->high, 1);
    }
    return true;
}

/* ---- drawing ---- */

static void dot(struct canvas *canvas, int x, int y, int owner)
{
    static const uint8_t bits[DOTS_Y][DOTS_X] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    int column = canvas->braille ? x / DOTS_X : x, row = canvas->braille ? y / DOTS_Y : y;

    if (column < 0 || column >= canvas->width || row < 0 || row >= canvas->height)
        return;
    canvas->dots[row * canvas->width + column] |= canvas->braille ? bits[y % DOTS_Y][x % DOTS_X] : 1;
    canvas->owners[row * canvas->width + column] = (int8_t)owner;
}

/* A straight line, both ends included. */
static void stroke(struct canvas *canvas, int x0, int y0, int x1, int y1, int owner)
{
    int steps = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);

    for (int i = 0; i <= steps; i++)
        dot(canvas, x0 + (steps ? (int)lround((double)(x1 - x0) * i / steps) : 0),
            y0 + (steps ? (int)lround((double)(y1 - y0) * i / steps) : 0), owner);
}

static void curve_draw(struct canvas *canvas, const struct curve *curve, const struct axis *x, const struct axis *y,
                       int owner)
{
    int across = canvas->width * (canvas->braille ? DOTS_X : 1) - 1;
    int down = canvas->height * (canvas->braille ? DOTS_Y : 1) - 1;
    bool before = false;
    int last_x = 0, last_y = 0;

    for (int i = 0; i < curve->count; i++) {
        double right = place(x, curve->x[i]), up = place(y, curve->y[i]);
        if (!isfinite(right) || !isfinite(up)) { /* a gap */
            before = false;
            continue;
        }
        int at_x = (int)lround(right * across), at_y = (int)lround((1 - up) * down);
        stroke(canvas, before ? last_x : at_x, before ? last_y : at_y, at_x, at_y, owner);
        before = true;
        last_x = at_x;
        last_y = at_y;
    }
}

static void cell_add(struct line *line, const struct canvas *canvas, int i, bool mark)
{
    int dots = canvas->dots[i], owner = canvas->owners[i];

    if (!dots && !mark)
        line_add(line, STYLE_PLAIN, " ");
    else if (!dots)
        line_add(line, STYLE_QUIET, "%s", style_unicode() ? "┊" : ":");
    else if (!canvas->braille)
        line_add(line, colours[owner], "%c", marks[owner]);
    else
        line_add(line, colours[owner], "%c%c%c", 0xe2, 0xa0 + (dots >> 6), 0x80 + (dots & 0x3f));
}

static void tick_text(char ret[32], double value, bool percent)
{
    if (percent)
        snprintf(ret, 32, "%.4g %%", 100 * value);
    else
        snprintf(ret, 32, fabs(value) >= 1e4 && fabs(value) < 1e7 ? "%.0f" : "%.4g", value);
}

/* A row of the chart, with its tick, if one stands at it. */
static void row_print(const struct chart *chart, const struct canvas *canvas, const struct axis *y, int row, int mark)
{
    struct line line;
    char text[32] = "";

    for (int i = 0; i < y->count; i++) {
        double up = place(y, y->ticks[i]);
        if (up >= 0 && up <= 1 && (int)lround((1 - up) * (canvas->height - 1)) == row)
            tick_text(text, y->ticks[i], chart->percent);
    }
    line_start(&line, chart->columns);
    line_add(&line, STYLE_QUIET, "%*s%s", GUTTER - 1, text, style_unicode() ? *text ? "┤" : "│" : *text ? "+" : "|");
    for (int i = 0; i < canvas->width; i++)
        cell_add(&line, canvas, row * canvas->width + i, i == mark);
    puts(line_end(&line));
}

/* The axis below, then its ticks' values, each under its place. */
static void below_print(const struct chart *chart, const struct canvas *canvas, const struct axis *x)
{
    struct line axis, values;
    char text[32];

    line_start(&axis, chart->columns);
    line_start(&values, chart->columns);
    line_add(&axis, STYLE_QUIET, "%*s%s", GUTTER - 1, "", style_unicode() ? "└" : "+");
    for (int column = 0; column < canvas->width; column++) {
        bool tick = false;
        for (int i = 0; i < x->count; i++)
            tick |= (int)lround(place(x, x->ticks[i]) * (canvas->width - 1)) == column;
        line_add(&axis, STYLE_QUIET, "%s", style_unicode() ? tick ? "┴" : "─" : tick ? "+" : "-");
    }
    for (int i = 0; i < x->count; i++) {
        tick_text(text, x->ticks[i], false);
        int column = GUTTER + (int)lround(place(x, x->ticks[i]) * (canvas->width - 1)) - (int)strlen(text) / 2;
        int most = chart->columns - (int)strlen(text);
        column = column > most ? most : column;
        if (column < values.columns + (values.columns > 0))
            continue;
        line_pad(&values, column);
        line_add(&values, STYLE_QUIET, "%s", text);
    }
    puts(line_end(&axis));
    puts(line_end(&values));
}

/* Which curve is which, and where it ended; as many a line as fit. */
static void legend_print(const struct chart *chart, bool braille)
{
    struct line line;
    char text[32], entry[160];

    line_start(&line, chart->columns);
    line_pad(&line, GUTTER);
    line_add(&line, STYLE_QUIET, "%s", chart->x_name);
    for (int i = 0; i < chart->count; i++) {
        const struct curve *curve = &chart->curves[i];

        double last = curve->count ? curve->y[curve->count - 1] : NAN;
        snprintf(text, sizeof(text), chart->percent ? "%.2f %%" : "%.4g", chart->percent ? 100 * last : last);
        snprintf(entry, sizeof(entry), "%.96s %s", curve->name, isfinite(last) ? text : "-");
        if (line.columns > GUTTER && line.columns + 5 + style_width(entry) > line.most) {
            puts(line_end(&line));
            line_start(&line, chart->columns);
            line_pad(&line, GUTTER - 3);
        }
        line_add(&line, colours[i], "   %s", braille ? "━" : (char[]){ marks[i], '\0' });
        line_add(&line, STYLE_PLAIN, " %s", entry);
    }
    puts(line_end(&line));
    if (chart->marked) {
        line_start(&line, chart->columns);
        line_pad(&line, GUTTER);
        line_add(&line, STYLE_PLAIN, "%s %s", style_unicode() ? "┊" : ":", chart->words);
        puts(line_end(&line));
    }
}

void chart_print(const struct chart *chart)
{
    int width = chart->columns - GUTTER, height = chart->rows;
    bool several = chart->count > 1 && !*style_on(STYLE_FIRST);
    struct canvas canvas = { width, height, style_unicode() && !several, NULL, NULL };
    struct axis x = { 0 }, y = { 0 };

    printf("%s%s%s%s\n", style_on(STYLE_TITLE), chart->title, style_off(), chart->log ? "  (logarithmic)" : "");
    if (!axes_make(chart, width, &x, &y)) {
        printf("%*s(no points%s)\n", GUTTER, "", chart->log ? " above 0" : " yet");
        return;
    }
    canvas.dots = calloc((size_t)width * (size_t)height, 1);
    canvas.owners = calloc((size_t)width * (size_t)height, 1);
    if (canvas.dots && canvas.owners) {
        int mark = chart->marked ? (int)lround(place(&x, chart->mark) * (width - 1)) : -1;
        for (int i = 0; i < chart->count; i++)
            curve_draw(&canvas, &chart->curves[i], &x, &y, i);
        for (int row = 0; row < height; row++)
            row_print(chart, &canvas, &y, row, mark);
        below_print(chart, &canvas, &x);
        legend_print(chart, canvas.braille);
    }
    free(canvas.dots);
    free(canvas.owners);
}

void chart_done(struct chart *chart)
{
    for (int i = 0; i < chart->count; i++) {
        free(chart->curves[i].x);
        free(chart->curves[i].y);
    }
    chart->count = 0;
}

void chart_bar(double part, int width)
{
    static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    int fine = part >= 1 ? 8 * width : part > 0 ? (int)lround(part * 8 * width) : 0;

    for (int i = 0; i < fine / 8; i++)
        fputs(style_unicode() ? "█" : "#", stdout);
    if (style_unicode())
        fputs(eighths[fine % 8], stdout);
    else if (fine % 8 >= 4)
        putchar('#');
}
