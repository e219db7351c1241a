/* Light or dark as Airflow is, before anything is painted: Airflow keeps its choice in localStorage ("light", "dark" or
   "system") and as a class on its root element, which also encloses this page's frame. Not a module: those run late. */
(() => {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  const shell = (() => {
    try {
      return parent === window ? null : parent.document.documentElement;
    } catch {
      return null; // framed by another origin
    }
  })();

  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  };

  const isDark = () => {
    if (shell?.classList.contains("dark")) return true;
    if (shell?.classList.contains("light")) return false;
    const choice = stored();
    return choice === "dark" || (choice !== "light" && prefersDark.matches);
  };

  const apply = () => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  };

  apply();
  prefersDark.addEventListener("change", apply);
  addEventListener("storage", apply);
  if (shell) new MutationObserver(apply).observe(shell, { attributeFilter: ["class"] });
})();
