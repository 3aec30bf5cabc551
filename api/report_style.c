/* What colours and sizes does a report have, and what may a browser do with it?
 *
 * The style is the only thing that the page's policy lets in, by its hash, which is
 * made of the very text that goes out. Figures say classes and leave colours to it. */
#include "api/report.h"

#include <pthread.h>

const char report_style[] =
    ":root{color-scheme:light dark;--page:#fff;--ink:#1c2128;--soft:#57606a;--line:#d8dee4;--wash:#f6f8fa;"
    "--accent:#0b5fcc;--second:#b35900;--up:#116329;--down:#b3261e;--bar:#8fb6e8}"
    "@media(prefers-color-scheme:dark){:root{--page:#0f1318;--ink:#e6eaef;--soft:#9aa4b0;--line:#2d353f;--wash:#171c23;"
    "--accent:#6cb0ff;--second:#f0a35e;--up:#5fd38a;--down:#ff8a80;--bar:#2f5c94}}"
    "@media print{:root{color-scheme:light;--page:#fff;--ink:#000;--soft:#444;--line:#bbb;--wash:#fff;--accent:#0b5fcc;"
    "--second:#b35900;--up:#116329;--down:#b3261e;--bar:#8fb6e8}"
    "section{break-inside:avoid-page}#settings,#files,#steps{break-inside:auto}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;font-variant-numeric:tabular-nums}"
    "main{max-width:960px;margin:0 auto;padding:32px 24px 48px}"
    ".kicker{margin:0;color:var(--soft);font-size:13px;letter-spacing:.04em;text-transform:uppercase}"
    "h1{margin:2px 0 8px;font-size:28px;line-height:1.25;overflow-wrap:anywhere}"
    "h2{margin:0 0 12px;font-size:18px}section{margin-top:40px}"
    ".badges{margin:0}.pill{display:inline-block;padding:1px 10px;border:1px solid currentColor;border-radius:999px;"
    "font-size:13px;color:var(--soft)}.pill.succeeded{color:var(--up)}.pill.failed{color:var(--down)}"
    ".pill.running,.pill.queued{color:var(--accent)}"
    ".note{margin:8px 0 12px;color:var(--soft);font-size:13px;max-width:75ch}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}"
    "th,td{padding:5px 16px 5px 0;border-bottom:1px solid "
    "var(--line);text-align:left;vertical-align:top;font-weight:400}"
    "thead th{color:var(--soft);font-size:12px;font-weight:600;white-space:nowrap}.number{text-align:right}"
    "th:last-child,td:last-child{padding-right:0}"
    ".mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.88em;overflow-wrap:anywhere}"
    "tr.marked th,tr.marked td{font-weight:600}tr.change th,tr.change td{color:var(--soft)}"
    ".facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr));gap:0 32px;margin:0}"
    ".facts div{display:flex;gap:12px;padding:5px 0;border-bottom:1px solid var(--line);font-size:14px}"
    ".facts dt{flex:0 0 9.5em;color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere;min-width:0}"
    "table.settings tr:not(.marked) th,table.settings tr:not(.marked) td{color:var(--soft)}"
    "table.settings td{overflow-wrap:anywhere;max-width:22em}table.settings td:nth-child(4){white-space:nowrap;"
    "color:var(--accent)}"
    ".pipeline{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:8px;margin:0;padding:0;"
    "list-style:none}.pipeline li{padding:10px 12px;border:1px solid "
    "var(--line);border-radius:8px;background:var(--wash)}"
    ".pipeline span{display:block}.pipeline .step{font-weight:600}.pipeline .pill{display:inline-block;margin:4px 0;"
    "font-size:12px}.pipeline .time{color:var(--soft);font-size:13px}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:8px;margin:0 0 16px}"
    ".tiles div{padding:12px 16px;border:1px solid var(--line);border-radius:8px;background:var(--wash)}"
    ".tiles dt{color:var(--soft);font-size:13px}.tiles dd{margin:0;font-size:26px;line-height:1.25;font-weight:600}"
    ".tiles small{font-size:15px;font-weight:400;color:var(--soft)}.tiles .gain{font-size:13px;font-weight:400}"
    ".up{color:var(--up)}.down{color:var(--down)}"
    "details{margin-top:4px}summary{cursor:pointer;color:var(--accent);font-size:13px;margin-bottom:8px}"
    "figure{margin:0 0 8px;overflow-x:auto}svg{display:block;width:100%;min-width:680px;height:auto}"
    "svg text{fill:var(--ink);font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}"
    "svg .soft{fill:var(--soft)}svg .head{font-weight:600}svg .end{text-anchor:end}svg .middle{text-anchor:middle}"
    "svg .name{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:11px}"
    "svg .grid{stroke:var(--line);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}"
    "svg .bar{fill:var(--bar)}svg .bar.marked{fill:var(--accent)}svg text.marked{fill:var(--accent);font-weight:600}"
    "svg .s0{--c:var(--accent)}svg .s1{--c:var(--second)}svg .s2{--c:var(--up)}svg .s3{--c:var(--down)}"
    "svg path.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}"
    "svg .s1.line{stroke-dasharray:6 3}svg .s2.line{stroke-dasharray:2 3}svg .s3.line{stroke-dasharray:8 3 2 3}"
    "svg .dot{fill:var(--c)}svg .chosen{fill:var(--page);stroke:var(--c);stroke-width:3}"
    "svg .band{fill:var(--second);fill-opacity:.16}svg .floor{stroke:var(--second);stroke-dasharray:3 3}"
    "svg .heat{fill:var(--accent)}svg .heat.gain{fill:var(--up)}svg .heat.loss{fill:var(--down)}"
    "footer{margin-top:48px;padding-top:12px;border-top:1px solid var(--line);color:var(--soft);font-size:13px;"
    "overflow-wrap:anywhere}";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char policy[300], policy_meta[200];

static void policies_make(void)
{
    char hex[65], base64[BASE64_SIZE];

    sha256_of(report_style, sizeof(report_style) - 1, hex);
    base64_write(hex, base64);
    snprintf(policy_meta, sizeof(policy_meta),
             "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'", base64);
    snprintf(policy, sizeof(policy), "%s; frame-ancestors 'none'; sandbox", policy_meta);
}

const char *report_policy(void)
{
    pthread_once(&once, policies_make);
    return policy;
}

const char *report_policy_meta(void)
{
    pthread_once(&once, policies_make);
    return policy_meta;
}
