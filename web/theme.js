/* Which colours does the page begin with?
 *
 * Read before anything is drawn, so that nobody sees the other ones flash by:
 * this is the one script that isn't a module, which would run too late. */
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
