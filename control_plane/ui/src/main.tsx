import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "@mantine/spotlight/styles.css";
import "@/components/global.css";
import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createRoot } from "react-dom/client";
import { KeysProvider } from "@/app/keys";
import { nonce } from "@/app/nonce";
import { queryClient } from "@/app/queries";
import { router } from "@/app/router";
import { theme, variables } from "@/app/theme";

const RELOADED = "gatehouse.reloaded";

// After an update the assets of a page that is still open are gone; the page as it is now has others.
window.addEventListener("vite:preloadError", (event) => {
  if (sessionStorage.getItem(RELOADED) === location.href) return;
  sessionStorage.setItem(RELOADED, location.href);
  event.preventDefault();
  location.reload();
});

const root = document.getElementById("root");
if (!root) throw new Error("the page has no root element");
createRoot(root).render(
  <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto" getStyleNonce={() => nonce}>
    <QueryClientProvider client={queryClient}>
      <KeysProvider>
        <Notifications position="bottom-right" limit={3} />
        <RouterProvider router={router} />
      </KeysProvider>
    </QueryClientProvider>
  </MantineProvider>,
);
