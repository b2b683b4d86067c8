#include "netlink/rule.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::netlink {
namespace {

// What narrows a rule down in ways that Rule does not describe.
constexpr uint16_t kOtherSelectors[] = {FRA_DST,      FRA_SRC,         FRA_IIFNAME,
                                        FRA_OIFNAME,  FRA_TUN_ID,      FRA_UID_RANGE,
                                        FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE};

absl::Status Change(Socket* socket, uint16_t type, uint16_t flags, const Rule& rule,
                    absl::string_view verb) {
  const std::string what = absl::StrCat(verb, " rule ", rule.ToString());
  if (rule.family == Family::kNone || rule.table == 0 || rule.other_selectors) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": not a rule that can be made here"));
  }
  fib_rule_hdr header{};
  header.family = ToAf(rule.family);
  header.action = FR_ACT_TO_TBL;
  if (rule.table < 256) header.table = static_cast<uint8_t>(rule.table);
  if (rule.inverted) header.flags = FIB_RULE_INVERT;
  Message message(type, flags);
  message.PutHeader(header);
  message.PutU32(FRA_PRIORITY, rule.priority);
  message.PutU32(FRA_TABLE, rule.table);
  message.PutU8(FRA_PROTOCOL, rule.protocol);
  if (rule.mask != 0) {
    message.PutU32(FRA_FWMARK, rule.mark);
    message.PutU32(FRA_FWMASK, rule.mask);
  }
  if (rule.suppress_prefix_length >= 0) {
    message.PutU32(FRA_SUPPRESS_PREFIXLEN, static_cast<uint32_t>(rule.suppress_prefix_length));
  }
  return socket->Request(&message, what);
}

}  // namespace

std::string Rule::ToString() const {
  std::string text = absl::StrCat(family == Family::kIpv6 ? "-6 " : "", "priority ", priority);
  if (inverted) absl::StrAppend(&text, " not");
  if (mask != 0) absl::StrAppend(&text, " fwmark 0x", absl::Hex(mark));
  if (mask != 0 && mask != UINT32_MAX) absl::StrAppend(&text, "/0x", absl::Hex(mask));
  absl::StrAppend(&text, " lookup ", table == RT_TABLE_MAIN ? "main" : absl::StrCat(table));
  if (suppress_prefix_length >= 0) {
    absl::StrAppend(&text, " suppress_prefixlength ", suppress_prefix_length);
  }
  return text;
}

absl::Status AddRule(Socket* socket, const Rule& rule) {
  return Change(socket, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule, "add");
}

absl::Status RemoveRule(Socket* socket, const Rule& rule) {
  return Change(socket, RTM_DELRULE, 0, rule, "remove");
}

std::optional<Rule> ParseRule(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWRULE && message.nlmsg_type != RTM_DELRULE) return std::nullopt;
  absl::Span<const uint8_t> rest;
  const auto header = SplitMessage<fib_rule_hdr>(message, &rest);
  if (!header || (header->family != AF_INET && header->family != AF_INET6)) return std::nullopt;
  const Attributes a(rest, FRA_DPORT_RANGE);
  Rule rule;
  rule.family = header->family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  rule.priority = a.U32(FRA_PRIORITY).value_or(0);
  if (header->action == FR_ACT_TO_TBL) rule.table = a.U32(FRA_TABLE).value_or(header->table);
  rule.mark = a.U32(FRA_FWMARK).value_or(0);
  rule.mask = a.U32(FRA_FWMASK).value_or(0);
  rule.inverted = header->flags & FIB_RULE_INVERT;
  rule.suppress_prefix_length =
      static_cast<int>(a.U32(FRA_SUPPRESS_PREFIXLEN).value_or(UINT32_MAX));
  rule.protocol = a.U8(FRA_PROTOCOL).value_or(0);
  rule.other_selectors = header->tos != 0;
  for (const uint16_t type : kOtherSelectors) rule.other_selectors |= a.Has(type);
  return rule;
}

absl::StatusOr<std::vector<Rule>> ListRules(Socket* socket) {
  std::vector<Rule> rules;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    fib_rule_hdr header{};
    header.family = ToAf(family);
    Message message(RTM_GETRULE, 0);
    message.PutHeader(header);
    const absl::Status status = socket->Dump(&message, "list rules", [&](const nlmsghdr& m) {
      if (const auto rule = ParseRule(m)) rules.push_back(*rule);
    });
    // A kernel without IPv6, or without its policy routing, has no rules of that family.
    if (!status.ok() && !absl::IsUnimplemented(status)) return status;
  }
  return rules;
}

}  // namespace cipe::netlink
