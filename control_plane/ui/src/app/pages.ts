/** The pages there are, as the rail, the palette and the keys name them. */

import {
  IconAddressBook,
  IconBuilding,
  IconChartLine,
  IconHome,
  IconKey,
  IconList,
  IconListDetails,
  IconLockAccess,
  IconPlugConnected,
  IconRoute,
  IconServer2,
  IconSettings,
  IconShieldCog,
  IconTags,
} from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface PageLink {
  to: string;
  label: string;
  group: string;
  icon: ComponentType<{ size?: number | string; stroke?: number }>;
  /** The letter after `g`. */
  key: string;
  /** Seen by administrators of the organisation alone, as its API answers them alone. */
  admin?: boolean;
  /** About what is in a workspace: without one there is nothing to show. */
  inWorkspace?: boolean;
}

export const PAGES: readonly PageLink[] = [
  { to: "/", label: "Home", group: "Observe", icon: IconHome, key: "h" },
  { to: "/analytics", label: "Analytics", group: "Observe", icon: IconChartLine, key: "a", inWorkspace: true },
  { to: "/requests", label: "Requests", group: "Observe", icon: IconList, key: "r", inWorkspace: true },
  { to: "/configs", label: "Configs", group: "Build", icon: IconRoute, key: "c", inWorkspace: true },
  { to: "/virtual-keys", label: "Virtual keys", group: "Connect", icon: IconLockAccess, key: "v", inWorkspace: true },
  { to: "/providers", label: "Providers", group: "Connect", icon: IconPlugConnected, key: "p" },
  { to: "/api-keys", label: "API keys", group: "Connect", icon: IconKey, key: "k", inWorkspace: true },
  { to: "/gateways", label: "Gateways", group: "Connect", icon: IconServer2, key: "w", admin: true },
  { to: "/models", label: "Models & prices", group: "Connect", icon: IconTags, key: "m" },
  { to: "/workspaces", label: "Workspaces", group: "Govern", icon: IconBuilding, key: "o" },
  { to: "/members", label: "Members", group: "Govern", icon: IconAddressBook, key: "e", admin: true },
  { to: "/admin-keys", label: "Admin keys", group: "Govern", icon: IconShieldCog, key: "d", admin: true },
  { to: "/audit", label: "Audit", group: "Govern", icon: IconListDetails, key: "u", admin: true },
  { to: "/settings", label: "Settings", group: "Govern", icon: IconSettings, key: "s" },
];

export const GROUPS = ["Observe", "Build", "Connect", "Govern"] as const;

/** Pages about what happened in a time range; on the others the range says nothing and is not shown. */
export const TIMED: readonly string[] = ["/analytics", "/requests"];
