/** One accent, one base size, contrast that passes AA in both schemes. */

import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

const accent: MantineColorsTuple = [
  "#edf3fb",
  "#d8e4f4",
  "#b0c8e8",
  "#84aadb",
  "#5e90d0",
  "#4680c9",
  "#3574c2",
  "#2563b0",
  "#1b559b",
  "#0d4785",
];
const slate: MantineColorsTuple = [
  "#d5dae1",
  "#b3bbc6",
  "#98a2b0",
  "#5d6878",
  "#3f4856",
  "#333b47",
  "#272e38",
  "#1b2129",
  "#151a21",
  "#0f1318",
];

export const theme = createTheme({
  primaryColor: "accent",
  primaryShade: { light: 7, dark: 5 },
  colors: { accent, dark: slate },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "19px" },
  headings: {
    fontWeight: "600",
    sizes: { h1: { fontSize: "20px" }, h2: { fontSize: "16px" }, h3: { fontSize: "14px" } },
  },
  defaultRadius: "sm",
  respectReducedMotion: true,
  autoContrast: true,
  focusRing: "auto",
  cursorType: "pointer",
  components: {
    Button: { defaultProps: { size: "sm" } },
    Modal: { defaultProps: { centered: false, overlayProps: { backgroundOpacity: 0.35 }, padding: "lg" } },
    Tooltip: { defaultProps: { openDelay: 300, withArrow: false } },
    Badge: { defaultProps: { variant: "light", radius: "sm" } },
    Menu: { defaultProps: { shadow: "md" } },
    Select: { defaultProps: { allowDeselect: false, checkIconPosition: "right" } },
  },
});

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "#5a6573",
    "--mantine-color-placeholder": "#6b7684",
    "--mantine-color-error": "#b42318",
    "--mantine-color-body": "#ffffff",
    "--mantine-color-text": "#1a2027",
    "--mantine-color-default-border": "#d5dae1",
    "--gh-ground": "#f6f7f9",
    "--gh-line": "#e3e7ec",
    "--gh-hover": "#f1f4f8",
    "--gh-chosen": "#e6eef8",
    "--gh-good": "#1a7f4b",
    "--gh-warn": "#8f5a00",
    "--gh-bad": "#b42318",
    "--gh-accent": "#2563b0",
  },
  dark: {
    "--mantine-color-dimmed": "#98a2b0",
    "--mantine-color-placeholder": "#8490a0",
    "--mantine-color-error": "#ff8a80",
    "--mantine-color-body": "#151a21",
    "--mantine-color-text": "#dde2e9",
    "--mantine-color-default-border": "#333b47",
    "--gh-ground": "#0f1318",
    "--gh-line": "#272e38",
    "--gh-hover": "#1b2129",
    "--gh-chosen": "#1c2b40",
    "--gh-good": "#5fcf97",
    "--gh-warn": "#e8b45a",
    "--gh-bad": "#ff8a80",
    "--gh-accent": "#84aadb",
  },
});
