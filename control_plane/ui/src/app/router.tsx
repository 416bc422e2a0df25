/** Which address shows which page. Pages come in pieces of their own, when they are first looked at. */

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { queryClient, sessionQuery } from "@/app/queries";
import { Shell } from "@/app/Shell";
import { parseSearch, stringifySearch, validSearch } from "@/app/search";
import { NotFound, Trouble } from "@/pages/Trouble";

const rootRoute = createRootRoute({ component: Outlet, validateSearch: validSearch, notFoundComponent: NotFound });

const insideRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "inside",
  component: Shell,
  beforeLoad: async ({ location }) => {
    const session = await queryClient.ensureQueryData(sessionQuery);
    if (session) return;
    const next = location.href === "/" ? undefined : location.href;
    throw redirect({ to: "/login", search: next ? { next } : {} });
  },
});

const inside = { getParentRoute: () => insideRoute } as const;
const outside = { getParentRoute: () => rootRoute } as const;

const tree = rootRoute.addChildren([
  insideRoute.addChildren([
    createRoute({ ...inside, path: "/", component: lazyRouteComponent(() => import("@/pages/Home"), "Home") }),
    createRoute({
      ...inside,
      path: "/analytics",
      component: lazyRouteComponent(() => import("@/pages/analytics/Analytics"), "Analytics"),
    }),
    createRoute({
      ...inside,
      path: "/requests",
      component: lazyRouteComponent(() => import("@/pages/requests/Requests"), "Requests"),
    }),
    createRoute({
      ...inside,
      path: "/configs",
      component: lazyRouteComponent(() => import("@/pages/configs/Configs"), "Configs"),
    }),
    createRoute({
      ...inside,
      path: "/configs/$config",
      component: lazyRouteComponent(() => import("@/pages/configs/Config"), "Config"),
    }),
    createRoute({
      ...inside,
      path: "/virtual-keys",
      component: lazyRouteComponent(() => import("@/pages/virtual_keys/VirtualKeys"), "VirtualKeys"),
    }),
    createRoute({
      ...inside,
      path: "/providers",
      component: lazyRouteComponent(() => import("@/pages/virtual_keys/Providers"), "Providers"),
    }),
    createRoute({
      ...inside,
      path: "/api-keys",
      component: lazyRouteComponent(() => import("@/pages/api_keys/ApiKeys"), "ApiKeys"),
    }),
    createRoute({
      ...inside,
      path: "/gateways",
      component: lazyRouteComponent(() => import("@/pages/gateways/Gateways"), "Gateways"),
    }),
    createRoute({
      ...inside,
      path: "/gateways/$gateway",
      component: lazyRouteComponent(() => import("@/pages/gateways/Gateway"), "Gateway"),
    }),
    createRoute({
      ...inside,
      path: "/models",
      component: lazyRouteComponent(() => import("@/pages/models/Models"), "Models"),
    }),
    createRoute({
      ...inside,
      path: "/workspaces",
      component: lazyRouteComponent(() => import("@/pages/people/Workspaces"), "Workspaces"),
    }),
    createRoute({
      ...inside,
      path: "/workspaces/$workspace",
      component: lazyRouteComponent(() => import("@/pages/people/WorkspacePage"), "WorkspacePage"),
    }),
    createRoute({
      ...inside,
      path: "/members",
      component: lazyRouteComponent(() => import("@/pages/people/Members"), "Members"),
    }),
    createRoute({
      ...inside,
      path: "/admin-keys",
      component: lazyRouteComponent(() => import("@/pages/admin_keys/AdminKeys"), "AdminKeys"),
    }),
    createRoute({
      ...inside,
      path: "/audit",
      component: lazyRouteComponent(() => import("@/pages/audit/Audit"), "Audit"),
    }),
    createRoute({
      ...inside,
      path: "/settings",
      component: lazyRouteComponent(() => import("@/pages/settings/Settings"), "Settings"),
    }),
  ]),
  createRoute({
    ...outside,
    path: "/login",
    component: lazyRouteComponent(() => import("@/pages/entry/Login"), "Login"),
  }),
  createRoute({
    ...outside,
    path: "/first-run",
    component: lazyRouteComponent(() => import("@/pages/entry/FirstRun"), "FirstRun"),
  }),
  createRoute({
    ...outside,
    path: "/invite/$token",
    component: lazyRouteComponent(() => import("@/pages/entry/Join"), "Join"),
  }),
]);

export const router = createRouter({
  routeTree: tree,
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultErrorComponent: Trouble,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
